//! Attacks by what the claims say.

use serde_json::{Value, json};

use super::{Attack, Bench, deep};
use crate::support::tokens::sign_text;

impl Bench<'_> {
    /// THREATS 4 row 10, in the claims and signed by the genuine key.
    pub(super) fn json(&self, out: &mut Vec<Attack>) {
        let good = self.good.to_string();
        let body = good.strip_suffix('}').expect("object");
        let texts: [(&str, Vec<u8>); 16] = [
            ("empty", Vec::new()),
            ("null", b"null".to_vec()),
            ("an array", format!("[{good}]").into_bytes()),
            ("a string", b"\"claims\"".to_vec()),
            ("two objects", format!("{good}{good}").into_bytes()),
            ("trailing bytes", format!("{good}x").into_bytes()),
            ("trailing NUL", format!("{good}\0").into_bytes()),
            ("byte order mark", format!("\u{feff}{good}").into_bytes()),
            ("not UTF-8", [body.as_bytes(), b",\"x\":\"\xff\"}"].concat()),
            ("lone surrogate", format!("{body},\"x\":\"\\ud800\"}}").into_bytes()),
            ("exp twice", format!("{body},\"exp\":{}}}", u32::MAX).into_bytes()),
            ("exp twice, one escaped", format!("{body},\"e\\u0078p\":{}}}", u32::MAX).into_bytes()),
            ("sub twice", format!("{body},\"sub\":\"admin\"}}").into_bytes()),
            ("a name twice, deep", format!("{body},\"x\":{{\"a\":1,\"a\":2}}}}").into_bytes()),
            ("deep arrays", format!("{body},\"x\":{}}}", deep(2_500)).into_bytes()),
            ("nine levels", format!("{body},\"x\":{}}}", deep(9)).into_bytes()),
        ];
        for (name, text) in texts {
            out.push((format!("claims: {name}"), sign_text(self.target.key, &self.header().to_string(), &text)));
        }
    }

    /// THREATS 4 rows 9, 14 and 26, signed by the genuine key.
    pub(super) fn claims(&self, out: &mut Vec<Attack>) {
        let mut push = |name: String, claims: &Value| out.push((name, self.sign(&self.header(), claims)));
        for name in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"] {
            let mut claims = self.good.clone();
            claims.as_object_mut().expect("object").remove(name);
            push(format!("claims: no {name}"), &claims);
        }
        let (now, audience) = (self.target.now.0, self.target.audience);
        let strings = ["iss", "sub", "aud", "jti", "client_id", "scope", "sid"];
        let dates = ["exp", "iat", "nbf", "auth_time"];
        for name in strings {
            for value in [json!(null), json!(1), json!(true), json!({}), json!([1]), json!([[audience]])] {
                let mut claims = self.good.clone();
                claims[name] = value.clone();
                push(format!("claims: {name} = {value}"), &claims);
            }
        }
        for name in dates {
            let later = now + 300;
            for value in [
                json!(null),
                json!(later.to_string()),
                json!(later as f64 + 0.5),
                json!(-1),
                json!(1e30),
                json!(u64::MAX),
                json!(true),
                json!([later]),
                json!({"value": later}),
                json!(253_402_300_800_u64),
                json!(""),
            ] {
                let mut claims = self.good.clone();
                claims[name] = value.clone();
                push(format!("claims: {name} = {value}"), &claims);
            }
        }
        let issuer = self.target.issuer;
        for value in [
            json!(""),
            json!(format!("{issuer}/")),
            json!(issuer.to_uppercase()),
            json!(format!("{issuer}.attacker.example")),
            json!(format!(" {issuer}")),
            json!([issuer]),
            json!("https://attacker.example"),
            json!(format!("{issuer}\0")),
        ] {
            let mut claims = self.good.clone();
            claims["iss"] = value.clone();
            push(format!("claims: iss = {value}"), &claims);
        }
        for (name, value) in [
            ("exp is this second", json!(now)),
            ("exp was a second ago", json!(now - 1)),
            ("exp = 0", json!(0)),
            ("exp = 1", json!(1)),
        ] {
            let mut claims = self.good.clone();
            claims["exp"] = value;
            push(format!("claims: {name}"), &claims);
        }
        for name in ["iat", "nbf"] {
            for ahead in [3_600, 86_400] {
                let mut claims = self.good.clone();
                (claims["exp"], claims[name]) = (json!(now + 100_000), json!(now + ahead));
                push(format!("claims: {name} lies {ahead} s ahead"), &claims);
            }
        }
        for (name, value) in [
            ("jti", json!("")),
            ("jti", json!("short")),
            ("jti", json!("AAAAAAAAAAAAAAAAAAAAAB")),
            ("sid", json!("x")),
            ("client_id", json!("")),
            ("client_id", json!("a b")),
            ("client_id", json!("a\u{e9}")),
            ("sub", json!("")),
            ("sub", json!("x".repeat(256))),
            ("scope", json!("a\nb")),
            ("scope", json!("a\"b")),
            ("aud", json!("")),
            ("aud", json!([])),
            ("aud", json!(vec!["a"; 17])),
        ] {
            let mut claims = self.good.clone();
            claims[name] = value.clone();
            push(format!("claims: {name} = {}", value.to_string().chars().take(40).collect::<String>()), &claims);
        }
        let mut claims = self.good.clone();
        claims["aud"] = json!([audience, 1]);
        push("claims: aud has a member that is no string".to_owned(), &claims);
        for value in [
            json!("https://other.example"),
            json!([format!("{audience}/"), "other"]),
            json!(audience.to_uppercase()),
            json!(format!("{audience} other")),
            json!(format!("{audience},other")),
            json!(format!("x{audience}")),
            json!("*"),
        ] {
            let mut claims = self.good.clone();
            claims["aud"] = value.clone();
            push(format!("aud: {value}"), &claims);
        }
    }
}
