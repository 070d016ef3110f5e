//! `mintgate token`: mint one by hand, look into one, verify one, explain why one is refused.

mod explain;
mod inspect;

use std::io::{IsTerminal as _, Read as _};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::ambient::{Clock, Entropy, entropy};
use crate::cli::failure::{Exit, Failure};
use crate::cli::{Context, revoke};
use crate::client::Client;
use crate::issuer::Order;
use crate::keys::SigningKey;
use crate::protocol::id::{Audience, Jti, Subject};
use crate::protocol::jws::TOKEN_BYTES_MAX;
use crate::protocol::scope::Scope;
use crate::protocol::time::{Span, format_span};
use crate::token::{
    Draft, DraftError, KeySource, Limits, Minted, Refused, Requirements, SealedKind, Typ, Verified, mint, verify,
};

pub use inspect::inspect;

/// What to do with a token.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign an access token offline with the active key, and print it
    Mint(Mint),
    /// Show what a token says, without trusting it; needs no configuration
    Inspect(Given),
    /// Verify an access token against the local key set; exit code 4 and the reason if it is refused
    Verify(Check),
    /// Walk through the checks one by one: what passes, what fails, and what to do about it
    Explain(Check),
    /// Revoke a token: a refresh token ends its login, an access token is refused from now on
    Revoke(Withdraw),
}

impl Command {
    /// Whether [`run`] needs [`Deps`], and so a configuration.
    #[must_use]
    pub fn needs_configuration(&self) -> bool {
        !matches!(self, Self::Inspect(_) | Self::Revoke(_))
    }
}

/// `token mint`.
#[derive(Debug, Args)]
pub struct Mint {
    /// The registered client that the token is issued to
    #[arg(long, value_name = "ID")]
    pub client: String,
    /// The user it is about [default: the client itself]
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
    /// Whom it is for; may be repeated [default: the client's first audience]
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: Vec<String>,
    /// What it allows [default: everything the client may]
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<Scope>,
    /// How long it lives, such as 3s or 5m [default: as the server would issue it]
    #[arg(long, value_name = "SPAN")]
    pub lifetime: Option<Span>,
}

/// A token, as an argument or on standard input.
#[derive(Debug, Args)]
pub struct Given {
    /// The token; `-` or nothing reads it from standard input
    #[arg(value_name = "TOKEN")]
    pub token: Option<String>,
}

/// `token revoke`.
#[derive(Debug, Args)]
pub struct Withdraw {
    /// The token.
    #[command(flatten)]
    pub given: Given,
    /// Say what would end, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `token verify` and `token explain`.
#[derive(Debug, Args)]
pub struct Check {
    /// The token.
    #[command(flatten)]
    pub given: Given,
    /// The audience that asks; without it, any audience will do
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: Option<String>,
}

/// What the commands need from the configuration and the local files.
pub struct Deps<'a> {
    /// The configured issuer.
    pub issuer: &'a str,
    /// The active key of the configured algorithm.
    pub signer: Option<&'a SigningKey>,
    /// The local key set.
    pub keys: &'a dyn KeySource,
    /// The client registry.
    pub client: &'a dyn Fn(&str) -> Option<Arc<Client>>,
    /// The longest lifetime and the largest size.
    pub limits: Limits,
    /// The configured lifetime of access tokens.
    pub access_lifetime: Duration,
    /// The configured `typ`.
    pub typ: Typ,
}

/// Runs a command. `deps` may be absent where [`Command::needs_configuration`] says so.
///
/// # Errors
/// `Refused` for a token that is not good or a request that policy forbids; `NotFound` for an unknown client;
/// `NotReady` without an active key; `Usage` for no token at all.
pub fn run(command: &Command, context: &Context<'_>, deps: Option<&Deps<'_>>) -> Result<(), Failure> {
    let needed = || deps.ok_or_else(|| Failure::new(Exit::Usage, "this command needs a configuration"));
    match command {
        Command::Mint(arguments) => {
            let minted = mint_by_hand(arguments, needed()?, context.clock, context.entropy)?;
            print_minted(&minted, context)
        }
        Command::Inspect(given) => inspect::print(&inspect(&read_token(given)?, context.clock.now())?, context),
        Command::Verify(check) => {
            let token = read_token(&check.given)?;
            match gate(&token, check, needed()?, context.clock) {
                Ok(verified) => print_verified(&token, &verified, context),
                Err(refused) => print_refused(refused, context),
            }
        }
        Command::Revoke(withdraw) => {
            let order = Order::Token(read_token(&withdraw.given)?);
            revoke::send(&order, withdraw.dry_run.then_some(revoke::DryRun), context)
        }
        Command::Explain(check) => explain::run(&read_token(&check.given)?, check, context, needed()?),
    }
}

/// Signs a token as the server would for this client, without the server.
///
/// # Errors
/// `NotFound`, `Refused` or `NotReady`.
pub fn mint_by_hand(
    arguments: &Mint,
    deps: &Deps<'_>,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Minted, Failure> {
    let refuse = |message: String| Failure::new(Exit::Refused, message);
    let name = arguments.client.as_str();
    let client = (deps.client)(name).ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no client `{name}`")).hint("see `mintgate clients list`")
    })?;
    if !client.enabled {
        return Err(refuse(format!("the client `{name}` is disabled")).hint("see `mintgate clients enable`"));
    }
    let subject = arguments.subject.as_deref().unwrap_or(name);
    // RFC 9068 section 5: no client's token may be taken for another client's, or a user's for a client's.
    if subject != name && (deps.client)(subject).is_some() {
        return Err(refuse(format!("`{subject}` is a client; it cannot be the subject of another client's token")));
    }
    let draft = Draft {
        issuer: Arc::from(deps.issuer),
        subject: Subject::from(subject),
        client: client.id.clone(),
        audiences: audiences(arguments, &client)?,
        scope: scope(arguments, &client)?,
        lifetime: arguments.lifetime.map_or(client.access_lifetime.unwrap_or(deps.access_lifetime), |span| span.0),
        session: None,
        auth_time: None,
        typ: deps.typ,
        // Places in a list are given away by the running gateway alone.
        status: None,
    };
    let now = clock.now();
    let checked = draft.check(&deps.limits, now).map_err(|error| match error {
        DraftError::Lifetime => refuse(error.to_string())
            .hint(format!("choose a lifetime from 1s to {}", format_span(deps.limits.lifetime_max))),
        other => refuse(other.to_string()),
    })?;
    let key = deps.signer.ok_or_else(|| {
        Failure::new(Exit::NotReady, "there is no active signing key").hint("make one with `mintgate keys generate`")
    })?;
    let jti = Jti(entropy::draw(entropy).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?);
    mint(&checked, key, jti, now).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

fn audiences(arguments: &Mint, client: &Client) -> Result<Vec<Audience>, Failure> {
    if arguments.audience.is_empty() {
        return Ok(client.audiences.iter().take(1).cloned().collect());
    }
    let wanted = arguments.audience.iter().map(|audience| Audience::from(audience.as_str()));
    let mut audiences = Vec::new();
    for audience in wanted {
        if !client.audiences.contains(&audience) {
            let allowed: Vec<&str> = client.audiences.iter().map(Audience::as_str).collect();
            return Err(Failure::new(Exit::Refused, format!("the client may not ask for the audience `{audience}`"))
                .hint(format!("it may ask for: {}", allowed.join(", "))));
        }
        if !audiences.contains(&audience) {
            audiences.push(audience);
        }
    }
    Ok(audiences)
}

fn scope(arguments: &Mint, client: &Client) -> Result<Scope, Failure> {
    match &arguments.scope {
        None => Ok(client.scope.clone()),
        Some(scope) if client.scope.covers(scope) => Ok(scope.clone()),
        Some(scope) => Err(Failure::new(Exit::Refused, format!("the client may not be granted `{scope}`"))
            .hint(format!("it may be granted: {}", client.scope))),
    }
}

fn print_minted(minted: &Minted, context: &Context<'_>) -> Result<(), Failure> {
    if !context.json {
        return context.output.line(&minted.token);
    }
    let lifetime = minted.expires_at.since(context.clock.now()).as_secs();
    context.output.json(&json!({
        "access_token": minted.token, "token_type": "Bearer", "expires_in": lifetime, "jti": minted.jti,
        "expires_at": minted.expires_at.to_rfc3339(),
    }))
}

/// What the local gate asks of a token: our issuer, both types, and the audience if one is named.
fn requirements<'a>(check: &'a Check, deps: &Deps<'a>) -> Requirements<'a> {
    Requirements { issuer: deps.issuer, audience: check.audience.as_deref(), typ: &Typ::ALL, leeway: Duration::ZERO }
}

/// Verifies a token against the local key set. Revocations are not known here.
///
/// # Errors
/// `Refused`, with the reason.
pub fn verify_by_hand(token: &str, check: &Check, deps: &Deps<'_>, clock: &dyn Clock) -> Result<Verified, Failure> {
    gate(token, check, deps, clock).map_err(failure)
}

/// As [`verify_by_hand`]; no cause at all means a sealed token, which the gate is not for.
fn gate(token: &str, check: &Check, deps: &Deps<'_>, clock: &dyn Clock) -> Result<Verified, Option<Refused>> {
    if token.starts_with(SealedKind::RefreshToken.prefix()) {
        return Err(None);
    }
    verify(token, deps.keys, &requirements(check, deps), clock.now()).map_err(Some)
}

fn failure(refused: Option<Refused>) -> Failure {
    match refused {
        Some(refused) => Failure::new(Exit::Refused, format!("refused ({}): {refused}", refused.name()))
            .hint(explain::advice(refused)),
        None => Failure::new(Exit::Refused, "refused (sealed): this is a refresh token, not an access token")
            .hint("only the gateway opens it; see `mintgate token inspect`"),
    }
}

fn print_refused(refused: Option<Refused>, context: &Context<'_>) -> Result<(), Failure> {
    let failure = failure(refused);
    if context.json {
        let reason = refused.map_or("sealed", Refused::name);
        context.output.json(&json!({"valid": false, "reason": reason, "advice": failure.hint}))?;
    }
    Err(failure)
}

fn print_verified(token: &str, verified: &Verified, context: &Context<'_>) -> Result<(), Failure> {
    // Verified: header and claims are strict JSON, so this cannot fail any more.
    let said = inspect(token, context.clock.now())?;
    if context.json {
        return context.output.json(&json!({
            "valid": true, "kid": verified.kid, "typ": verified.typ, "header": said.header, "claims": said.claims,
            "expires_at": verified.expires_at.to_rfc3339(),
        }));
    }
    context.output.line("valid: signed by this gateway, of its issuer, within its time")?;
    inspect::print_members("header", &said.header, context)?;
    inspect::print_members("claims", &said.claims, context)?;
    context.output.remark("whether it was revoked is not known here: ask POST /introspect");
    Ok(())
}

/// Reads the token: the argument, or standard input, bounded, without the white space around it.
fn read_token(given: &Given) -> Result<String, Failure> {
    // The longest token, and room for a line break or two.
    const INPUT_BYTES_MAX: usize = TOKEN_BYTES_MAX + 64;
    let text = match given.token.as_deref() {
        Some(token) if token != "-" => token.to_owned(),
        _ => {
            let input = std::io::stdin();
            if input.is_terminal() {
                return Err(Failure::new(Exit::Usage, "no token: give one as the argument or on standard input")
                    .hint("for example: mintgate token mint --client ID | mintgate token inspect"));
            }
            let mut text = String::new();
            let bound = u64::try_from(INPUT_BYTES_MAX + 1).unwrap_or(u64::MAX);
            input.lock().take(bound).read_to_string(&mut text)?;
            text
        }
    };
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::new(Exit::Usage, "no token: the input is empty"));
    }
    if text.len() > INPUT_BYTES_MAX {
        return Err(Failure::new(
            Exit::Refused,
            format!("refused (too_long): a token has at most {TOKEN_BYTES_MAX} bytes"),
        ));
    }
    Ok(token.to_owned())
}
