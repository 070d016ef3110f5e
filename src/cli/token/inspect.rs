//! `token inspect`: what a token says, for people, without a word about whether it is true.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::cli::Context;
use crate::cli::failure::{Exit, Failure};
use crate::protocol::base64url;
use crate::protocol::json;
use crate::protocol::jws::Parts;
use crate::protocol::time::{UnixSeconds, format_span};
use crate::token::SealedKind;
use crate::token::seal::named_key;

/// Claims that hold a date.
const DATES: [&str; 5] = ["exp", "iat", "nbf", "auth_time", "updated_at"];

/// What a token says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// The header of a signed token.
    pub header: Map<String, Value>,
    /// The claims of a signed token.
    pub claims: Map<String, Value>,
    /// For a sealed token: which kind, and the id of the key it names.
    pub sealed: Option<(&'static str, String)>,
    /// The dates among the claims, for people.
    pub dates: Vec<(&'static str, String)>,
}

/// Decodes `token` without verifying anything.
///
/// # Errors
/// `Refused` if it is neither a signed nor a sealed token.
pub fn inspect(token: &str, now: UnixSeconds) -> Result<Said, Failure> {
    let refuse = |message: String| Failure::new(Exit::Refused, message);
    let kind = SealedKind::RefreshToken;
    if token.starts_with(kind.prefix()) {
        let id = named_key(kind, token)
            .ok_or_else(|| refuse("it begins like a refresh token, but is cut short or altered".to_owned()))?;
        return Ok(Said { sealed: Some(("refresh token", id.to_string())), ..Said::default() });
    }
    let parts = Parts::split(token).map_err(|error| refuse(format!("not a token: {error}")))?;
    let object = |name: &str, text: &str| {
        let bytes = base64url::decode(text.as_bytes())
            .ok_or_else(|| refuse(format!("not a token: the {name} is not base64url")))?;
        json::object(&bytes).map_err(|error| refuse(format!("not a token: the {name} is {error}")))
    };
    let (header, claims) = (object("header", parts.header)?, object("payload", parts.payload)?);
    let date = |name: &&'static str| {
        let date = UnixSeconds(claims.get(*name)?.as_u64()?);
        Some((*name, format!("{} ({})", date.to_rfc3339(), distance(date, now))))
    };
    let dates = DATES.iter().filter_map(date).collect();
    Ok(Said { header, claims, sealed: None, dates })
}

/// `in 5m`, `2h ago` or `now`.
fn distance(date: UnixSeconds, now: UnixSeconds) -> String {
    match date.cmp(&now) {
        std::cmp::Ordering::Equal => "now".to_owned(),
        std::cmp::Ordering::Greater => format!("in {}", format_span(date.since(now))),
        std::cmp::Ordering::Less => format!("{} ago", format_span(now.since(date))),
    }
}

/// Prints what [`inspect`] found.
pub(super) fn print(said: &Said, context: &Context<'_>) -> Result<(), Failure> {
    if let Some((kind, key)) = &said.sealed {
        if context.json {
            return context.output.json(&json!({"verified": false, "kind": "sealed", "sealed": kind, "key": key}));
        }
        context.output.line(&format!("a sealed {kind}: only the gateway reads it, with its sealing key {key}"))?;
        return context.output.line("(the key id is what the token names; it is not verified)");
    }
    if context.json {
        let dates: Map<String, Value> =
            said.dates.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
        return context.output.json(&json!({
            "verified": false, "kind": "signed", "header": said.header, "claims": said.claims, "dates": dates,
        }));
    }
    context.output.line("not verified: this is only what the token says")?;
    print_members("header", &said.header, context)?;
    print_members("claims", &said.claims, context)?;
    for (name, text) in &said.dates {
        context.output.line(&format!("{name}: {text}"))?;
    }
    Ok(())
}

/// Prints the members of an object, one a line.
pub(super) fn print_members(title: &str, members: &Map<String, Value>, context: &Context<'_>) -> Result<(), Failure> {
    context.output.line(title)?;
    let width = members.keys().map(|name| printable(name).chars().count()).max().unwrap_or(0);
    for (name, value) in members {
        context.output.line(&format!("  {:<width$}  {}", printable(name), printable(&value.to_string())))?;
    }
    Ok(())
}

/// Text that cannot move a terminal's cursor or reverse its direction: a stranger wrote it (THREATS section 4, row 42).
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let steers =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || steers {
            // Writing into a string cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\u{9b}\u{202e}b\u{e9}"), "a\\u{1b}[2J\\u{9b}\\u{202e}b\u{e9}");
    }

    #[test]
    fn distances() {
        let now = UnixSeconds(1_000);
        assert_eq!(distance(UnixSeconds(1_300), now), "in 5m");
        assert_eq!(distance(UnixSeconds(940), now), "1m ago");
        assert_eq!(distance(now, now), "now");
    }
}
