//! `[verify]` and `[verify.policies.NAME]`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hyper::header::HeaderName;

use crate::client::file::check_audience;
use crate::config::read::Reader;
use crate::issuer::{Demand, IdentityHeaders, VerifySettings, cookie_name, identity_header};
use crate::protocol::scope::Scope;

pub(crate) fn verify(reader: &mut Reader<'_>) -> Arc<VerifySettings> {
    let standard = VerifySettings::default();
    let is_audience = |text: &String| check_audience(text).map(drop).map_err(|why| format!("does not fit: {why}"));
    let is_cookie = |text: &String| cookie_name(text);
    let entries = |number: &usize| {
        if *number <= 10_000_000 { Ok(()) } else { Err("is out of bounds: 0 to 10000000".to_owned()) }
    };
    let settings = VerifySettings {
        audience: reader.take_optional("verify", "audience", is_audience),
        cookie: reader.take_optional("verify", "cookie", is_cookie),
        token_scheme: reader.take("verify", "token_scheme", standard.token_scheme),
        headers: IdentityHeaders {
            subject: header(reader, "subject_header", "X-Auth-Subject"),
            client: header(reader, "client_header", "X-Auth-Client"),
            scope: header(reader, "scope_header", "X-Auth-Scope"),
            expires: header(reader, "expires_header", "X-Auth-Expires"),
        },
        cache_entries_max: reader.take_checked("verify", "cache_entries_max", standard.cache_entries_max, entries),
        policies: policies(reader),
    };
    let names = &settings.headers;
    let distinct: BTreeSet<&str> =
        [&names.subject, &names.client, &names.scope, &names.expires].into_iter().map(HeaderName::as_str).collect();
    if distinct.len() < 4 {
        let hint = "subject_header, client_header, scope_header and expires_header are four names";
        reader.refuse("verify", "subject_header", "two identity headers have the same name", hint);
    }
    Arc::new(settings)
}

fn header(reader: &mut Reader<'_>, key: &'static str, default: &str) -> HeaderName {
    let name = reader.take_checked("verify", key, default.to_owned(), |text| identity_header(text).map(drop));
    // Checked above; the default is a name.
    identity_header(&name).unwrap_or(HeaderName::from_static("x-auth-subject"))
}

fn policies(reader: &mut Reader<'_>) -> BTreeMap<String, Demand> {
    let mut policies = BTreeMap::new();
    for (name, written) in reader.take_named("verify.policies", &["audience", "scope"]) {
        let section = format!("verify.policies.{name}");
        let Some(audience) = written.get("audience") else {
            let message = format!("[{section}] has no `audience`");
            reader.refuse(&section, "audience", &message, "a token for another service must not pass");
            continue;
        };
        if let Err(why) = check_audience(audience) {
            let message = format!("the value of `{section}.audience` does not fit: {why}");
            reader.refuse(&section, "audience", &message, "as in `aud`: audience = \"https://api.example\"");
            continue;
        }
        match written.get("scope").map_or("", String::as_str).parse::<Scope>() {
            Ok(scope) => {
                policies.insert(name, Demand { audience: Some(audience.clone()), scope, issuer: None });
            }
            Err(why) => {
                let message = format!("the value of `{section}.scope` does not fit: {why}");
                reader.refuse(&section, "scope", &message, "words with one space between them: scope = \"read write\"");
            }
        }
    }
    policies
}
