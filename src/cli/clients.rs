//! `mintgate clients`: who may ask for tokens.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::ambient::document::{FileError, Intent};
use crate::cli::Context;
use crate::cli::ask::{Ask, Console, Yes, consent};
use crate::cli::config::load;
use crate::cli::failure::{Exit, Failure};
use crate::client::file::{self, EditError, check_audience, check_grants, check_id, check_lifetime};
use crate::client::registry::Registry;
use crate::client::{Client, ClientKind, GrantType, SecretDigest, digest, generate_secret};
use crate::config::Config;
use crate::protocol::id::{Audience, ClientId};
use crate::protocol::scope::Scope;
use crate::protocol::time::{Span, UnixSeconds, format_span};

/// What to do with the clients.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Register a client; prints its generated secret, once
    Add(Add),
    /// List all clients
    List,
    /// Show one client
    Show {
        /// client_id
        id: String,
    },
    /// Generate a new secret; the old one goes on for the overlap
    RotateSecret {
        /// client_id
        id: String,
        /// How long the old secret goes on; 0s ends it now
        #[arg(long, value_name = "SPAN", default_value = "24h")]
        overlap: Span,
        /// Say what would happen, change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Switch a client off: it gets nothing, whatever it presents
    Disable(Change),
    /// Switch a client on again
    Enable(Change),
    /// Remove a client
    Remove {
        /// Which one.
        #[command(flatten)]
        change: Change,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// A new client.
#[derive(Clone, Debug, clap::Args)]
pub struct Add {
    /// client_id: visible ASCII, not starting with usr_
    pub id: String,
    /// A grant it may use: client_credentials, refresh_token, password; may be repeated
    #[arg(long = "grant", value_name = "GRANT", value_parser = parse_grant)]
    pub grants: Vec<GrantType>,
    /// The most it may be granted, tokens with spaces between: "read write"
    #[arg(long, value_name = "SCOPE", default_value = "")]
    pub scope: Scope,
    /// An audience it may ask for; may be repeated, the first is the default
    #[arg(long = "audience", value_name = "URI")]
    pub audiences: Vec<String>,
    /// A browser or an installed app: it has no secret
    #[arg(long)]
    pub public: bool,
    /// One of ours: it may use /login
    #[arg(long)]
    pub first_party: bool,
    /// How long its access tokens live, if not as configured
    #[arg(long, value_name = "SPAN")]
    pub access_lifetime: Option<Span>,
    /// Say what would happen, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A change of one client.
#[derive(Clone, Debug, clap::Args)]
pub struct Change {
    /// client_id
    pub id: String,
    /// Say what would happen, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn parse_grant(text: &str) -> Result<GrantType, String> {
    [GrantType::ClientCredentials, GrantType::RefreshToken, GrantType::Password]
        .into_iter()
        .find(|grant| grant.name() == text)
        .ok_or_else(|| "choose client_credentials, refresh_token or password".to_owned())
}

/// A generated secret, shown this once.
#[derive(Serialize)]
struct Shown<'a> {
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
}

/// Does it.
///
/// # Errors
/// `NotFound`, `Conflict`, `Usage` for what cannot be, `Failed` if a file cannot be used.
pub fn run(command: Command, context: &Context<'_>) -> Result<(), Failure> {
    run_asking(command, context, &mut Console)
}

/// As [`run`], with somebody else to ask.
///
/// # Errors
/// As [`run`].
pub fn run_asking(command: Command, context: &Context<'_>, ask: &mut dyn Ask) -> Result<(), Failure> {
    let config = load(context)?.config;
    let path = config.clients.file.as_path();
    match command {
        Command::Add(wanted) => add(&wanted, &config, context),
        Command::List => list(path, context),
        Command::Show { id } => show(path, &id, context),
        Command::RotateSecret { id, overlap, dry_run } => rotate(path, &id, overlap, intent(dry_run), context),
        Command::Disable(change) => {
            let id = ClientId::from(change.id.as_str());
            file::set_enabled(path, &id, false, intent(change.dry_run)).map_err(failure)?;
            done(context, &change, "disabled")
        }
        Command::Enable(change) => {
            let id = ClientId::from(change.id.as_str());
            file::set_enabled(path, &id, true, intent(change.dry_run)).map_err(failure)?;
            done(context, &change, "enabled")
        }
        Command::Remove { change, yes } => {
            let id = ClientId::from(change.id.as_str());
            file::remove(path, &id, Intent::DryRun).map_err(failure)?;
            if !change.dry_run {
                let question = format!("Remove client `{id}`? Its refresh tokens end with it.");
                consent(ask, Yes::from_flag(yes), &question)?;
                file::remove(path, &id, Intent::Write).map_err(failure)?;
            }
            done(context, &change, "removed")
        }
    }
}

fn add(wanted: &Add, config: &Config, context: &Context<'_>) -> Result<(), Failure> {
    let now = context.clock.now();
    let mut client = describe(wanted, config)?;
    let mut secret = None;
    if client.kind == ClientKind::Confidential {
        let generated =
            generate_secret(context.entropy).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        client.secrets.push(SecretDigest { sha256: digest(&generated), created_at: now, ends_at: None });
        secret = Some(generated);
    }
    file::add(&config.clients.file, &client, intent(wanted.dry_run)).map_err(failure)?;
    if wanted.dry_run {
        return context.output.line(&format!("client `{}` would be added", client.id));
    }
    let secret = secret.as_ref().map(|secret| secret.as_str());
    if context.json {
        return context.output.json(&Shown { client_id: client.id.as_str(), client_secret: secret });
    }
    context.output.line(&format!("client_id:     {}", client.id))?;
    if let Some(secret) = secret {
        context.output.line(&format!("client_secret: {secret}"))?;
        context.output.remark("The secret is shown this once; only its SHA-256 is kept.");
    }
    Ok(())
}

/// The client that the arguments describe, still without a secret.
fn describe(wanted: &Add, config: &Config) -> Result<Client, Failure> {
    let usage = |why: String| Failure::new(Exit::Usage, why);
    let kind = if wanted.public { ClientKind::Public } else { ClientKind::Confidential };
    let mut grants = wanted.grants.clone();
    if grants.is_empty() {
        // What such a client is there for.
        let logs_people_in = wanted.public || wanted.first_party;
        grants.push(if logs_people_in { GrantType::RefreshToken } else { GrantType::ClientCredentials });
    }
    grants.sort_unstable();
    grants.dedup();
    check_grants(kind, &grants).map_err(usage)?;
    let mut audiences: Vec<Audience> = Vec::new();
    for text in &wanted.audiences {
        let audience = check_audience(text).map_err(usage)?;
        if !audiences.contains(&audience) {
            audiences.push(audience);
        }
    }
    if audiences.is_empty() {
        let default = config.tokens.audience.clone().ok_or_else(|| {
            usage("name the service its tokens are for".to_owned())
                .hint("--audience https://api.example, or tokens.audience in the configuration for all clients")
        })?;
        audiences.push(default);
    }
    let access_lifetime = wanted.access_lifetime.map(|span| span.0);
    if let Some(span) = access_lifetime {
        check_lifetime(span).map_err(usage)?;
        if span > config.tokens.lifetime_max {
            let bound = format_span(config.tokens.lifetime_max);
            return Err(usage(format!("an access token lives {bound} at most (tokens.lifetime_max)")));
        }
    }
    Ok(Client {
        id: check_id(&wanted.id).map_err(usage)?,
        kind,
        first_party: wanted.first_party,
        enabled: true,
        secrets: Vec::new(),
        grants,
        scope: wanted.scope.clone(),
        audiences,
        access_lifetime,
    })
}

fn rotate(path: &Path, id: &str, overlap: Span, intent: Intent, context: &Context<'_>) -> Result<(), Failure> {
    let now = context.clock.now();
    let id = ClientId::from(id);
    let secret = generate_secret(context.entropy).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let fresh = SecretDigest { sha256: digest(&secret), created_at: now, ends_at: None };
    let overlap_ends_at = now.after(overlap.0);
    file::rotate_secret(path, &id, &fresh, overlap_ends_at, intent).map_err(failure)?;
    if intent == Intent::DryRun {
        let until = overlap_ends_at.to_rfc3339();
        return context.output.line(&format!("client `{id}` would get a new secret; the old one would end at {until}"));
    }
    if context.json {
        return context.output.json(&Shown { client_id: id.as_str(), client_secret: Some(secret.as_str()) });
    }
    context.output.line(&format!("client_id:     {id}"))?;
    context.output.line(&format!("client_secret: {}", secret.as_str()))?;
    context.output.remark(&format!("The old secret ends at {}.", overlap_ends_at.to_rfc3339()));
    Ok(())
}

fn list(path: &Path, context: &Context<'_>) -> Result<(), Failure> {
    let registry = Registry::read_or_empty(path).map_err(file_failure)?;
    let clients = registry.list();
    if context.json {
        return context.output.json(&clients.iter().map(|client| as_json(client)).collect::<Vec<_>>());
    }
    let rows: Vec<Vec<String>> = clients
        .iter()
        .map(|client| {
            let grants: Vec<&str> = client.grants.iter().map(|grant| grant.name()).collect();
            let audiences: Vec<&str> = client.audiences.iter().map(Audience::as_str).collect();
            vec![
                client.id.to_string(),
                kind(client).to_owned(),
                (if client.enabled { "enabled" } else { "disabled" }).to_owned(),
                grants.join(","),
                client.scope.to_string(),
                audiences.join(","),
            ]
        })
        .collect();
    context.output.table(&["CLIENT", "KIND", "STATE", "GRANTS", "SCOPE", "AUDIENCES"], &rows)
}

fn show(path: &Path, id: &str, context: &Context<'_>) -> Result<(), Failure> {
    let registry = Registry::read_or_empty(path).map_err(file_failure)?;
    let client = registry.find(id).ok_or_else(|| Failure::new(Exit::NotFound, format!("there is no client `{id}`")))?;
    let described = as_json(client);
    if context.json {
        return context.output.json(&described);
    }
    for (name, value) in described.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        context.output.line(&format!("{name}: {text}"))?;
    }
    Ok(())
}

/// Everything about a client but its secrets; of those, when they were made and when they end.
fn as_json(client: &Client) -> Json {
    let secrets: Vec<Json> = client
        .secrets
        .iter()
        .map(|secret| {
            json!({
                "created_at": secret.created_at.to_rfc3339(),
                "ends_at": secret.ends_at.map(UnixSeconds::to_rfc3339),
            })
        })
        .collect();
    json!({
        "client_id": client.id.as_str(),
        "kind": kind(client),
        "enabled": client.enabled,
        "first_party": client.first_party,
        "grants": client.grants.iter().map(|grant| grant.name()).collect::<Vec<_>>(),
        "scope": client.scope.as_str(),
        "audiences": client.audiences.iter().map(Audience::as_str).collect::<Vec<_>>(),
        "access_lifetime": client.access_lifetime.map(format_span),
        "secrets": secrets,
    })
}

fn kind(client: &Client) -> &'static str {
    match client.kind {
        ClientKind::Confidential => "confidential",
        ClientKind::Public => "public",
    }
}

fn done(context: &Context<'_>, change: &Change, what: &str) -> Result<(), Failure> {
    let would = if change.dry_run { "would be " } else { "" };
    context.output.line(&format!("client `{}` {would}{what}", change.id))
}

/// What `--dry-run` means.
pub(crate) fn intent(dry_run: bool) -> Intent {
    if dry_run { Intent::DryRun } else { Intent::Write }
}

fn failure(error: EditError) -> Failure {
    let code = match error {
        EditError::File(error) => return file_failure(error),
        EditError::Exists(_) => Exit::Conflict,
        EditError::NotFound(_) => Exit::NotFound,
        EditError::Refused(_) => Exit::Refused,
    };
    Failure::new(code, error.to_string())
}

/// How a file that cannot be used ends a command.
pub(crate) fn file_failure(error: FileError) -> Failure {
    let code = match error {
        FileError::Malformed { .. } | FileError::TooLarge { .. } => Exit::Usage,
        FileError::Busy { .. } => Exit::Conflict,
        FileError::Missing { .. } | FileError::Unreadable { .. } | FileError::Unwritable { .. } => Exit::Failed,
    };
    Failure::new(code, error.to_string())
}
