//! What a service that verifies by itself has to know.

use crate::cli::failure::{Exit, Failure};
use crate::cli::gen_config::{Args, Target};
use crate::config::{Config, TokenTyp};
use crate::protocol::scope::Scope;

/// The values of a service's template; none for a proxy.
///
/// # Errors
/// `Usage` if a value would mean something in one of the languages.
pub(super) fn values(
    args: &Args,
    config: &Config,
    audience: &str,
    scope: &Scope,
) -> Result<Option<[(String, String); 8]>, Failure> {
    if !is_service(args.target) {
        return Ok(None);
    }
    // White space, quotes and backslashes are in none of them already.
    for (what, text) in [("issuer", config.issuer.as_str()), ("audience", audience), ("scope", scope.as_str())] {
        if text.contains(['$', '`', '\'', '{', '}', '*']) {
            return Err(Failure::new(Exit::Usage, format!("the {what} cannot stand in source code: `{text}`"))
                .hint("write the configuration by hand: key set URL, issuer, audience"));
        }
    }
    let base = base(args, config);
    let (typ, variant) = match config.tokens.typ {
        TokenTyp::AtJwt => ("at+jwt", "AtJwt"),
        TokenTyp::Jwt => ("JWT", "Jwt"),
    };
    let values = [
        ("issuer", config.issuer.clone()),
        ("audience", audience.to_owned()),
        ("scope", scope.as_str().to_owned()),
        ("jwks_url", format!("{base}/jwks.json")),
        ("revocations_url", format!("{base}/revocations")),
        ("algorithm", config.tokens.algorithm.name().to_owned()),
        ("typ", typ.to_owned()),
        ("typ_variant", variant.to_owned()),
    ];
    Ok(Some(values.map(|(name, value)| (name.to_owned(), value))))
}

fn is_service(target: Target) -> bool {
    matches!(
        target,
        Target::Drf | Target::Express | Target::Go | Target::Spring | Target::SpringJava | Target::Rust | Target::Env
    )
}

/// What the routes stand behind: the issuer, as the metadata says, or the address that `--gateway` names.
fn base(args: &Args, config: &Config) -> String {
    match &args.gateway {
        None => config.issuer.trim_end_matches('/').to_owned(),
        Some(gateway) => {
            let scheme = if config.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{gateway}")
        }
    }
}
