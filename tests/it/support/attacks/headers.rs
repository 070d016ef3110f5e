//! Attacks by what the header says.

use mintgate::protocol::algorithm::Algorithm;
use serde_json::json;

use super::{Attack, Bench, b64, deep, spki};
use crate::support::tokens::{TestKey, sign_text};

impl Bench<'_> {
    /// THREATS 4 rows 6, 8 and 13: members that choose keys, forms or extensions.
    pub(super) fn headers(&self, out: &mut Vec<Attack>) {
        let stranger = TestKey::generate(Algorithm::Es256);
        let url = "https://attacker.example/jwks.json";
        let members = [
            ("jwk", stranger.signing.public().to_json()),
            ("jwk", json!(null)),
            ("jku", json!(url)),
            ("jku", json!("file:///etc/passwd")),
            ("jku", json!("http://169.254.169.254/latest/meta-data/")),
            ("x5u", json!(url)),
            ("x5c", json!([b64(&spki(stranger.signing.public()))])),
            ("x5c", json!([])),
            ("crit", json!(["exp"])),
            ("crit", json!(["b64"])),
            ("crit", json!(["urn:example:unknown"])),
            ("crit", json!([])),
            ("crit", json!("exp")),
            ("crit", json!(null)),
            ("b64", json!(false)),
            ("b64", json!(true)),
            ("zip", json!("DEF")),
            ("zip", json!("")),
            ("enc", json!("A256GCM")),
        ];
        for (name, value) in members {
            let mut header = self.header();
            header[name] = value.clone();
            out.push((format!("header: {name} = {value}, signed by the genuine key"), self.sign(&header, &self.good)));
            // The attacker's own key, offered in the header and used for the signature.
            let by_stranger = sign_text(&stranger.signing, &header.to_string(), self.good.to_string().as_bytes());
            out.push((format!("header: {name} = {value}, signed by the stranger"), by_stranger));
        }
        let mut nested = self.header();
        nested["cty"] = json!("JWT");
        let inner = self.genuine();
        out.push((
            "header: a token inside a token".to_owned(),
            sign_text(self.target.key, &nested.to_string(), inner.as_bytes()),
        ));
        let (_, claims_and_signature) = inner.split_once('.').expect("header");
        for (name, text) in [
            ("no object", "[]".to_owned()),
            ("a string", "\"ES256\"".to_owned()),
            ("empty", "{}".to_owned()),
            ("no JSON", "alg=ES256".to_owned()),
            ("byte order mark", format!("\u{feff}{}", self.header())),
            ("trailing bytes", format!("{}x", self.header())),
            ("trailing NUL", format!("{}\0", self.header())),
            ("single quotes", self.header().to_string().replace('"', "'")),
            ("no alg", json!({"typ": "at+jwt", "kid": self.kid()}).to_string()),
            ("alg null", json!({"alg": null, "typ": "at+jwt", "kid": self.kid()}).to_string()),
            ("alg an array", json!({"alg": ["ES256"], "typ": "at+jwt", "kid": self.kid()}).to_string()),
            ("alg an object", json!({"alg": {"ES256": 1}, "typ": "at+jwt", "kid": self.kid()}).to_string()),
            ("alg a number", json!({"alg": 256, "typ": "at+jwt", "kid": self.kid()}).to_string()),
            ("alg in capitals", json!({"ALG": "ES256", "typ": "at+jwt", "kid": self.kid()}).to_string()),
            (
                "alg twice, none last",
                format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{}","alg":"none"}}"#, self.kid()),
            ),
            (
                "alg twice, none first",
                format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{}","alg":"ES256"}}"#, self.kid()),
            ),
            (
                "alg twice, one escaped",
                format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{}","\u0061lg":"none"}}"#, self.kid()),
            ),
            ("kid twice", format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"x","kid":"{}"}}"#, self.kid())),
            ("deep", format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{}","x":{}}}"#, self.kid(), deep(2_000))),
        ] {
            out.push((format!("header: {name}"), sign_text(self.target.key, &text, self.good.to_string().as_bytes())));
            out.push((
                format!("header: {name}, the genuine signature"),
                format!("{}.{claims_and_signature}", b64(text.as_bytes())),
            ));
        }
        out.push((
            "header: not UTF-8".to_owned(),
            format!("{}.{claims_and_signature}", b64(b"{\"alg\":\"ES256\xff\"}")),
        ));
    }

    /// THREATS 4 row 7.
    pub(super) fn kids(&self, out: &mut Vec<Attack>) {
        let kid = self.kid();
        let kids = [
            json!(null),
            json!(1),
            json!([kid]),
            json!({"kid": kid}),
            json!(true),
            json!(""),
            json!(" "),
            json!("../../../dev/null"),
            json!("/proc/self/environ"),
            json!("keys/active.pem"),
            json!("' OR '1'='1"),
            json!("x' UNION SELECT 'secret"),
            json!("a;rm -rf"),
            json!("$(id)"),
            json!("{{7*7}}"),
            json!("%00"),
            json!("\0"),
            json!("\r\nX-Injected: 1"),
            json!("\u{1b}[2J"),
            json!(format!("{kid} ")),
            json!(format!(" {kid}")),
            json!(format!("{kid}\0")),
            json!(format!("{kid}=")),
            json!(kid.to_ascii_uppercase()),
            json!(kid.to_ascii_lowercase()),
            json!(&kid[..42]),
            json!(format!("{kid}A")),
            json!("k".repeat(65)),
            json!("k".repeat(4_000)),
            json!("https://attacker.example/key"),
            json!("0"),
            json!("*"),
        ];
        for (number, value) in kids.into_iter().enumerate() {
            let mut header = self.header();
            header["kid"] = value.clone();
            let shown: String = value.to_string().chars().take(40).collect();
            out.push((format!("kid {number}: {shown}"), self.sign(&header, &self.good)));
        }
        let header = json!({"alg": "ES256", "typ": "at+jwt"});
        out.push(("kid: none at all".to_owned(), self.sign(&header, &self.good)));
    }

    /// Cross-type confusion (RFC 8725 section 3.11).
    pub(super) fn types(&self, out: &mut Vec<Attack>) {
        let types = [
            json!("ID"),
            json!("logout+jwt"),
            json!("dpop+jwt"),
            json!("secevent+jwt"),
            json!("statuslist+jwt"),
            json!("JOSE"),
            json!("oauth-authz-req+jwt"),
            json!("token-introspection+jwt"),
            json!("at+jwt "),
            json!(" at+jwt"),
            json!("at jwt"),
            json!("application/jwt;at+jwt"),
            json!("application/application/at+jwt"),
            json!("text/at+jwt"),
            json!("at+jwt\0"),
            json!(""),
            json!(null),
            json!(1),
            json!(["at+jwt"]),
            json!("\u{430}t+jwt"),
        ];
        for value in types {
            let mut header = self.header();
            header["typ"] = value.clone();
            out.push((format!("typ: {value}"), self.sign(&header, &self.good)));
        }
        let header = json!({"alg": "ES256", "kid": self.kid()});
        out.push(("typ: none at all".to_owned(), self.sign(&header, &self.good)));
    }
}
