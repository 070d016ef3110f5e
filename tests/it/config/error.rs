//! Each row is a configuration with one mistake, and where and how it is told.

use mintgate::config::{ConfigError, Inputs, load};

use crate::support::scratch::Scratch;

fn refuse(text: &str) -> ConfigError {
    let scratch = Scratch::new();
    let path = scratch.write("mintgate.toml", text);
    load(&path, &Inputs::default()).expect_err(text)
}

#[test]
fn one_mistake_each() {
    let rows: &[(&str, &str, &str)] = &[
        ("issue = \"https://a\"\n", ":1:1: unknown key `issue`", "did you mean `issuer`?"),
        (
            "I[tokens]\nacess_lifetime = \"5m\"\n",
            ":3:1: unknown key `acess_lifetime` in [tokens]",
            "did you mean `access_lifetime`?",
        ),
        (
            "I[tokens]\naccess-lifetime = \"5m\"\n",
            ":3:1: unknown key `access-lifetime`",
            "did you mean `access_lifetime`?",
        ),
        (
            "I[tokens]\nretry_window = \"5s\"\n",
            ":3:1: unknown key `retry_window`",
            "did you mean `retry_window` in [refresh]?",
        ),
        ("I[token]\nalgorithm = \"ES256\"\n", ":2:2: unknown section [token]", "did you mean [tokens]?"),
        ("I[issuer]\n", ":", "duplicate key"),
        ("Ilisten = \"0.0.0.0:8080\"\n", ":2:1: unknown key `listen`", "[listen] is a section"),
        (
            "[tokens]\nissuer = \"https://a.example\"\n",
            ":2:1: unknown key `issuer` in [tokens]",
            "did you mean `issuer`, above the first section?",
        ),
        ("I[zebra]\nx = 1\n", ":2:2: unknown section [zebra]", "sections are "),
        ("I[verify]\ncookie = \"a b\"\n", ":3:10: the value of `verify.cookie` is no name of a cookie", ""),
        ("I[verify]\nscope_header = \"X_Scope\"\n", ":3:16: the value of `verify.scope_header` has a `_`", ""),
        ("I[verify]\nscope_header = \"x-auth-client\"\n", ": two identity headers have the same name", "four names"),
        ("I[status_list]\naudiences = \"x\"\n", ":3:13: `status_list.audiences` is a string", "a list of texts"),
        ("I[status_list]\naudiences = [\"a#b\"]\n", ":3:13: the value of `status_list.audiences`", "\"a#b\""),
        ("I[status_list]\nttl = \"1s\"\n", ":3:7: the value of `status_list.ttl` is out of bounds", "2s to 1h"),
        ("I[status_list]\nttl = \"2500ms\"\n", ":3:7: the value of `status_list.ttl`", "whole seconds"),
        ("I[status_list]\nentries_max = 1\n", ":3:15: the value of `status_list.entries_max`", "1000 to"),
        ("I[verify]\npolicies = 1\n", ":3:1: unknown key `policies` in [verify]", "[verify] has"),
        ("I[verify.policies]\nx = 1\n", ":3:1: unknown key `x` in [verify.policies]", "it has audience, scope"),
        ("I[verify.policies.\"a b\"]\naudience = \"x\"\n", ":2:18: `a b` is no name", "1 to 64 letters"),
        ("I[verify.policies.a]\nscope = \"x\"\n", ": [verify.policies.a] has no `audience`", "must not pass"),
        ("I[verify.policies.a]\naudience = 1\n", ":3:1: `verify.policies.a.audience` is an integer", "text in quotes"),
        (
            "I[verify.policies.a]\naudience = \"x\"\nscop = \"x\"\n",
            ":4:1: unknown key `scop` in [verify.policies.a]",
            "it has audience, scope",
        ),
        (
            "I[verify.policies.a]\naudience = \"x\"\nscope = \"\\\"\"\n",
            ":4:9: the value of `verify.policies.a.scope` does not fit",
            "one space",
        ),
        ("I[keys]\nbehind = \"stop\"\n", ":3:10: the value of `keys.behind` is not one of", "\"warn\", \"wait\""),
        (
            "I[keys]\npublish_ahead = \"2d\"\nverifiers_forgotten_after = \"1d\"\n",
            ":4:29: `keys.verifiers_forgotten_after` is below `keys.publish_ahead`",
            "leave it out",
        ),
        ("I[log]\nzebra = 1\n", ":3:1: unknown key `zebra` in [log]", "[log] has format, level"),
        ("[log]\n", "mintgate.toml: there is no `issuer`", "issuer = \"https://auth.example\""),
        ("issuer = 5\n", ":1:10: `issuer` is an integer", "text in quotes"),
        (
            "issuer = \"http://auth.example\"\n",
            ":1:10: the value of `issuer` is no issuer: it starts with https://",
            "localhost only",
        ),
        ("issuer = \"https://a.example?x\"\n", ":1:10: the value", "RFC 8414 section 2"),
        (
            "I[tokens]\naccess_lifetime = 300\n",
            ":3:19: `tokens.access_lifetime` is an integer",
            "a duration in quotes: \"250ms\"",
        ),
        (
            "I[tokens]\naccess_lifetime = \"300\"\n",
            ":3:19: the value of `tokens.access_lifetime` is no duration",
            "\"90s\"",
        ),
        (
            "I[tokens]\naccess_lifetime = \"25h\"\n",
            ":3:19: the value of `tokens.access_lifetime` is out of bounds: 1s to 1d",
            "",
        ),
        ("I[tokens]\nlifetime_max = \"1m\"\n", ":3:16: `tokens.lifetime_max` is below", "raise it"),
        (
            "I[tokens]\nalgorithm = \"HS256\"\n",
            ":3:13: the value of `tokens.algorithm` is not one of the words",
            "one of \"ES256\", \"ES384\", \"EdDSA\", \"RS256\"",
        ),
        ("I[tokens]\naudience = \"https://a#b\"\n", ":3:12: the value of `tokens.audience`", "without a fragment"),
        (
            "I[listen]\npublic = \"8080\"\n",
            ":3:10: the value of `listen.public` is no IP address with a port",
            "\"127.0.0.1:8080\"",
        ),
        (
            "I[listen]\npublic = \"127.0.0.1:9090\"\n",
            "mintgate.toml: `listen.admin` is the public address",
            "a port of its own",
        ),
        (
            "I[refresh]\nretry_window = \"61s\"\n",
            ":3:16: the value of `refresh.retry_window` is out of bounds: 0s to 1m",
            "",
        ),
        (
            "I[refresh]\nabsolute_lifetime = \"1d\"\n",
            ":3:21: `refresh.absolute_lifetime` is below `refresh.idle_lifetime`",
            "14d",
        ),
        ("I[refresh]\nidle_lifetime = \"91d\"\n", ":3:17: `refresh.absolute_lifetime` is below", "91d"),
        (
            "I[keys]\nrotate_every = \"30m\"\n",
            ":3:16: `keys.publish_ahead` is not below `keys.rotate_every`",
            "published",
        ),
        ("I[keys]\nalgorithms = [\"ES384\"]\n", ":3:14: `keys.algorithms` lacks ES256", "leave `keys.algorithms` out"),
        ("I[keys]\nalgorithms = \"ES256\"\n", ":3:14: `keys.algorithms` is a string", "a list in brackets"),
        ("I[keys]\nalgorithms = [1]\n", ":3:14: `keys.algorithms` is a list of something else", "a list in brackets"),
        ("I[state]\nentries_max = 1.5\n", ":3:15: `state.entries_max` is a number with a point", "100_000_000"),
        ("I[state]\nentries_max = -1\n", ":3:15: the value of `state.entries_max` is negative", ""),
        (
            "I[state]\ndurability = \"sometimes\"\n",
            ":3:14: the value of `state.durability`",
            "\"always\", \"batch\", \"none\"",
        ),
        ("I[users]\nsource = \"ldap\"\n", ":3:10: the value of `users.source`", "one of \"file\""),
        (
            "I[compatibility]\npassword_grant = \"yes\"\n",
            ":3:18: `compatibility.password_grant` is a string",
            "true or false, without quotes",
        ),
        ("I[tls]\nkey = \"tls.key\"\n", ":3:7: `tls.key` without `tls.certificate`", "both"),
        ("I[tls]\ncertificate = \"tls.crt\"\n", ":3:15: `tls.certificate` without `tls.key`", "both"),
        ("I[limits]\nheader_timeout = \"0s\"\n", ":3:18: the value of `limits.header_timeout` is out of bounds", ""),
        (
            "I[login]\nhash_memory_kib = 999999\n",
            ":3:19: the value of `login.hash_memory_kib` is out of bounds: 8 to 262144",
            "",
        ),
        ("I[tokens\n", ":2:", "not TOML"),
        ("issuer = https://a.example\n", ":1:", "not TOML"),
        ("issuer = \"https://a.example\"\nissuer = \"https://b.example\"\n", ":2:1: not TOML", "duplicate key"),
    ];
    let mut wrong = Vec::new();
    for (text, place, said) in rows {
        let text = text.replacen('I', "issuer = \"https://auth.example\"\n", usize::from(text.starts_with('I')));
        let told = refuse(&text).to_string();
        if !told.contains(place) || !told.contains(said) {
            wrong.push(format!(
                "wanted {place}
and {said}
{told}
"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_offending_line_is_shown_with_a_caret() {
    let told = refuse("issuer = \"https://auth.example\"\n[tokens]\n  acess_lifetime = \"5m\"\n").to_string();
    let shown = told.split_once(": unknown").unwrap().1;
    assert_eq!(
        shown,
        " key `acess_lifetime` in [tokens]\n 3 |   acess_lifetime = \"5m\"\n   |   ^^^^^^^^^^^^^^\n   = did you mean `access_lifetime`?"
    );
}

#[test]
fn everything_is_told_at_once_in_the_order_of_the_file_and_on_one_screen() {
    let error = refuse("isuer = 1\n[token]\n[log]\nlevel = 3\nlevell = 3\n[limits]\nbody_timeout = 9\n");
    let messages: Vec<&str> = error.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "unknown key `isuer`",
            "unknown section [token]",
            "`log.level` is an integer",
            "unknown key `levell` in [log]",
            "`limits.body_timeout` is an integer",
            "there is no `issuer`",
        ]
    );
    let many: String = (0..60).map(|number| format!("zz{number} = 1\n")).collect();
    let told = refuse(&format!("issuer = \"https://a.example\"\n[log]\n{many}")).to_string();
    assert!(told.lines().count() <= 24, "{told}");
    assert!(told.lines().last().unwrap().starts_with("and "), "{told}");
}

#[test]
fn a_file_of_secrets_is_not_shown() {
    let told = refuse("[[user]]\nname = \"alice\"\npassword = \"$argon2id$v=19$abc\"\n").to_string();
    assert!(!told.contains("argon2id"), "{told}");
    let told = refuse("client_secret = mgs_verysecret\n").to_string();
    assert!(!told.contains("verysecret"), "{told}");
}

#[test]
fn a_file_that_is_not_there() {
    let scratch = Scratch::new();
    let told = load(&scratch.path("none.toml"), &Inputs::default()).expect_err("missing").to_string();
    assert!(told.contains("there is no such file") && told.contains("mintgate init"), "{told}");
    std::fs::write(scratch.path("x.toml"), b"issuer = \"\xff\"\n").unwrap();
    let told = load(&scratch.path("x.toml"), &Inputs::default()).expect_err("bytes").to_string();
    assert!(told.contains("x.toml:1:11: not UTF-8"), "{told}");
}
