//! `mintgate revoke` and `mintgate token revoke`: orders to the running gateway.

use crate::cli::config::load;
use crate::cli::failure::{Exit, Failure};
use crate::cli::{Context, gateway};
use crate::issuer::{Order, Outlook};
use crate::protocol::id::{ClientId, FamilyId, Jti, Subject};

/// What to revoke: exactly one.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub struct Args {
    /// One login: the `sid` of its access tokens
    #[arg(long, group = "what", value_name = "SID", allow_hyphen_values = true)]
    pub family: Option<FamilyId>,
    /// Every login of a user: the `sub` of their tokens; `mintgate users list` shows it
    #[arg(long, group = "what", value_name = "SUB")]
    pub subject: Option<String>,
    /// Everything issued to a client so far
    #[arg(long, group = "what", value_name = "ID")]
    pub client: Option<String>,
    /// One access token, by its `jti`
    #[arg(long, group = "what", value_name = "JTI", allow_hyphen_values = true)]
    pub jti: Option<Jti>,
    /// Say what would end, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Revokes.
///
/// # Errors
/// `NotReady` if no gateway runs on this configuration, and what [`gateway::order`] says.
pub fn run(args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    let order = match args {
        Args { family: Some(family), .. } => Order::Family(*family),
        Args { subject: Some(subject), .. } => Order::Subject(Subject::from(subject.as_str())),
        Args { client: Some(client), .. } => Order::Client(ClientId::from(client.as_str())),
        Args { jti: Some(jti), .. } => Order::Jti(*jti),
        // clap asks for one of the group.
        _ => return Err(Failure::new(Exit::Usage, "say what: --family, --subject, --client or --jti")),
    };
    send(&order, args.dry_run.then_some(DryRun), context)
}

/// `--dry-run` was given.
#[derive(Clone, Copy)]
pub struct DryRun;

/// Sends an order and prints what it ended.
///
/// # Errors
/// As [`run`].
pub fn send(order: &Order, dry_run: Option<DryRun>, context: &Context<'_>) -> Result<(), Failure> {
    let loaded = load(context)?;
    let body = serde_json::to_string(order).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let path = if dry_run.is_some() { "/admin/revoke?dry_run" } else { "/admin/revoke" };
    let answer = gateway::order(&loaded.config.state.directory, path, body)?;
    if context.json {
        return context.output.json(&answer);
    }
    let outlook: Outlook = serde_json::from_value(answer)
        .map_err(|error| Failure::new(Exit::Failed, format!("the gateway's answer cannot be read: {error}")))?;
    let verb = if dry_run.is_some() { "would revoke" } else { "revoked" };
    context.output.line(&format!("{verb} {} (remembered until {})", outlook.ends, outlook.until.to_rfc3339()))
}
