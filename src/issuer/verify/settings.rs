//! What `/verify` is told: by the configuration, and by the proxy's own request.

use std::collections::BTreeMap;

use hyper::header::HeaderName;

use crate::protocol::params::Params;
use crate::protocol::scope::Scope;

/// What a route demands of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Must be one of `aud`; `None` only if [`VerifySettings::demand`] was not asked.
    pub audience: Option<String>,
    /// Every token of it must be in the scope; may be empty.
    pub scope: Scope,
    /// The issuer the route trusts, where it says so.
    pub issuer: Option<String>,
}

/// The headers that carry who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// `sub`.
    pub subject: HeaderName,
    /// `client_id`.
    pub client: HeaderName,
    /// `scope`.
    pub scope: HeaderName,
    /// `exp`.
    pub expires: HeaderName,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        let name = HeaderName::from_static;
        Self {
            subject: name("x-auth-subject"),
            client: name("x-auth-client"),
            scope: name("x-auth-scope"),
            expires: name("x-auth-expires"),
        }
    }
}

/// How `/verify` works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifySettings {
    /// The audience of requests that name none.
    pub audience: Option<String>,
    /// Demands by name.
    pub policies: BTreeMap<String, Demand>,
    /// The cookie that may hold the token, beside the Authorization header.
    pub cookie: Option<String>,
    /// Whether `Authorization: Token ...` is read like `Bearer`.
    pub token_scheme: bool,
    /// The headers of an answer.
    pub headers: IdentityHeaders,
    /// Most tokens remembered between requests; 0 remembers none.
    pub cache_entries_max: usize,
}

impl Default for VerifySettings {
    fn default() -> Self {
        Self {
            audience: None,
            policies: BTreeMap::new(),
            cookie: None,
            token_scheme: false,
            headers: IdentityHeaders::default(),
            cache_entries_max: 10_000,
        }
    }
}

/// What the proxy's request says about its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// `/verify/policy/NAME`: the query belongs to somebody else and is not looked at.
    Policy(&'a str),
    /// `/verify?...`
    Query(&'a str),
}

/// The proxy's request makes no sense. Refused as a whole: a demand that is half understood would let too many pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misconfigured {
    /// The query cannot be read, or says a thing twice.
    #[error("the query cannot be read, or says a thing twice")]
    Query,
    /// The query has a parameter we do not know.
    #[error("the query may have aud, scope and iss, or policy alone")]
    Parameter,
    /// There is no such policy.
    #[error("there is no such policy: [verify.policies.NAME] in the configuration")]
    Policy,
    /// No audience is named anywhere.
    #[error("no audience: ask /verify?aud=..., or set [verify] audience")]
    Audience,
}

impl Misconfigured {
    /// One word for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "verify_query",
            Self::Parameter => "verify_parameter",
            Self::Policy => "verify_policy",
            Self::Audience => "verify_audience",
        }
    }
}

impl VerifySettings {
    /// What a route demands.
    ///
    /// # Errors
    /// [`Misconfigured`], above all where no audience is named: a token for another service of the same issuer would
    /// pass (RFC 9068 section 4).
    pub fn demand(&self, asked: Asked<'_>) -> Result<Demand, Misconfigured> {
        let query = match asked {
            Asked::Policy(name) => return self.policy(name),
            Asked::Query(query) => query,
        };
        let params = Params::parse(query.as_bytes()).map_err(|_| Misconfigured::Query)?;
        if params.names().any(|name| !["aud", "scope", "iss", "policy"].contains(&name)) {
            return Err(Misconfigured::Parameter);
        }
        if let Some(name) = params.value("policy") {
            if params.names().any(|name| name != "policy") {
                return Err(Misconfigured::Parameter);
            }
            return self.policy(name);
        }
        let audience = params.value("aud").or(self.audience.as_deref()).ok_or(Misconfigured::Audience)?;
        let scope = params.value("scope").unwrap_or_default().parse().map_err(|_| Misconfigured::Query)?;
        let issuer = params.value("iss").map(str::to_owned);
        Ok(Demand { audience: Some(audience.to_owned()), scope, issuer })
    }

    fn policy(&self, name: &str) -> Result<Demand, Misconfigured> {
        self.policies.get(name).cloned().ok_or(Misconfigured::Policy)
    }
}

/// A header that may carry an identity.
///
/// # Errors
/// Completes the sentence "the value ...": it is no header name, or one that means something else already.
pub fn identity_header(text: &str) -> Result<HeaderName, String> {
    const TAKEN: [&str; 14] = [
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "host",
        "keep-alive",
        "location",
        "set-cookie",
        "transfer-encoding",
        "www-authenticate",
    ];
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is no header name".to_owned())?;
    // CGI and WSGI read `_` and `-` as the same character, so a header with `_` cannot be stripped for certain.
    if text.contains('_') {
        return Err("has a `_`: many servers drop such headers or take them for `-`".to_owned());
    }
    if TAKEN.contains(&name.as_str()) {
        return Err("is a header with a meaning of its own".to_owned());
    }
    Ok(name)
}

/// A name a cookie may have (RFC 6265 section 4.1.1: a token).
///
/// # Errors
/// Completes the sentence "the value ...".
pub fn cookie_name(text: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) { Ok(()) } else { Err("is no name of a cookie".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> VerifySettings {
        let reader = Demand {
            audience: Some("https://api.example".to_owned()),
            scope: "read".parse().expect("scope"),
            issuer: None,
        };
        VerifySettings { policies: BTreeMap::from([("reader".to_owned(), reader)]), ..VerifySettings::default() }
    }

    /// Audience and scope, or the refusal.
    type Expected = Result<(&'static str, &'static str), Misconfigured>;

    #[test]
    fn a_demand_is_understood_whole_or_refused() {
        let rows: [(Asked<'_>, Expected); 14] = [
            (Asked::Query("aud=a"), Ok(("a", ""))),
            (Asked::Query("aud=https%3A%2F%2Fapi.example&scope=read+write"), Ok(("https://api.example", "read write"))),
            (Asked::Query("aud=https://api.example&scope=read%20write"), Ok(("https://api.example", "read write"))),
            (Asked::Query("policy=reader"), Ok(("https://api.example", "read"))),
            (Asked::Policy("reader"), Ok(("https://api.example", "read"))),
            (Asked::Query(""), Err(Misconfigured::Audience)),
            (Asked::Query("aud="), Err(Misconfigured::Audience)),
            (Asked::Query("aud=a&aud=b"), Err(Misconfigured::Query)),
            (Asked::Query("aud=a&scope=%00"), Err(Misconfigured::Query)),
            (Asked::Query("aud=a&scope=%22"), Err(Misconfigured::Query)),
            (Asked::Query("aud=a&scop=write"), Err(Misconfigured::Parameter)),
            (Asked::Query("aud=a&access_token=x"), Err(Misconfigured::Parameter)),
            (Asked::Query("policy=reader&scope=write"), Err(Misconfigured::Parameter)),
            (Asked::Policy("writer"), Err(Misconfigured::Policy)),
        ];
        for (asked, expected) in rows {
            let demand = settings().demand(asked);
            let seen = demand.as_ref().map(|demand| (demand.audience.as_deref().unwrap_or(""), demand.scope.as_str()));
            assert_eq!(seen.map_err(|error| *error), expected, "{asked:?}");
        }
        let standard = VerifySettings { audience: Some("b".to_owned()), ..settings() };
        assert_eq!(standard.demand(Asked::Query("")).expect("a default").audience.as_deref(), Some("b"));
        assert_eq!(standard.demand(Asked::Query("aud=a")).expect("its own").audience.as_deref(), Some("a"));
    }

    #[test]
    fn identity_headers_are_names_of_their_own() {
        for good in ["X-Auth-Subject", "Remote-User"] {
            assert!(identity_header(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "x:y", "Connection", "Content-Length", "Set-Cookie", "Remote_User", "caf\u{e9}"] {
            assert!(identity_header(bad).is_err(), "{bad}");
        }
    }
}
