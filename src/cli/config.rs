//! `mintgate config`: what is configured, from where, and whether it would start.

use serde_json::json;

use crate::app::settings;
use crate::cli::Context;
use crate::cli::failure::{Exit, Failure};
use crate::config::error::{Place, Problem};
use crate::config::files::{CheckKeys, check_files};
use crate::config::{self, Inputs, Loaded};
use crate::protocol::time::format_span;

/// What to do with the configuration.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Check the configuration and every file it names
    Check,
    /// Print every value
    Show {
        /// And where it came from
        #[arg(long)]
        origin: bool,
    },
}

/// Loads the configuration a command works on: `--config` and the environment.
///
/// # Errors
/// `Usage` with everything that is wrong.
pub fn load(context: &Context<'_>) -> Result<Loaded, Failure> {
    load_with(context, &Inputs::from_process())
}

/// As [`load`], with flags too.
///
/// # Errors
/// As [`load`].
pub fn load_with(context: &Context<'_>, inputs: &Inputs) -> Result<Loaded, Failure> {
    config::load(&context.config_path, inputs).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

/// Does it. `check_keys` looks at the key directory.
///
/// # Errors
/// `Usage` if the configuration or a file it names is wrong.
pub fn run(command: Command, context: &Context<'_>, check_keys: CheckKeys<'_>) -> Result<(), Failure> {
    run_with(command, context, check_keys, &Inputs::from_process())
}

/// As [`run`], with another environment.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    command: Command,
    context: &Context<'_>,
    check_keys: CheckKeys<'_>,
    inputs: &Inputs,
) -> Result<(), Failure> {
    match command {
        Command::Check => check(context, check_keys, inputs),
        Command::Show { origin } => show(context, origin.then_some(Origins), inputs),
    }
}

/// `--origin` was given.
#[derive(Clone, Copy)]
struct Origins;

fn check(context: &Context<'_>, check_keys: CheckKeys<'_>, inputs: &Inputs) -> Result<(), Failure> {
    let loaded = match config::load(&context.config_path, inputs) {
        Ok(loaded) => loaded,
        Err(error) => {
            if context.json {
                let problems: Vec<_> = error.problems.iter().map(problem_json).collect();
                context.output.json(&json!({ "ok": false, "problems": problems, "warnings": [] }))?;
            }
            return Err(Failure::new(Exit::Usage, error.to_string()));
        }
    };
    let findings = check_files(&loaded.config, check_keys);
    let warnings: Vec<&String> = loaded.warnings.iter().chain(&findings.warnings).collect();
    if context.json {
        let problems: Vec<_> = findings.problems.iter().map(|message| json!({ "message": message })).collect();
        context.output.json(&json!({
            "ok": findings.problems.is_empty(),
            "problems": problems,
            "warnings": warnings,
            "issuer": loaded.config.issuer,
            "clients": findings.clients,
            "users": findings.users,
            "state_bytes_max": settings::state_bytes_max(&loaded.config.state),
        }))?;
    } else {
        for warning in warnings {
            context.output.remark(&format!("warning: {warning}"));
        }
    }
    if !findings.problems.is_empty() {
        return Err(Failure::new(Exit::Usage, findings.problems.join("\n")));
    }
    if context.json { Ok(()) } else { summary(context, &loaded, findings.clients, findings.users) }
}

fn summary(context: &Context<'_>, loaded: &Loaded, clients: usize, users: usize) -> Result<(), Failure> {
    let config = &loaded.config;
    let tls = if config.tls.is_some() { "TLS" } else { "no TLS" };
    let tokens = &config.tokens;
    let lines = [
        format!("OK {}", config.file.display()),
        format!("issuer   {}", config.issuer),
        format!("listen   public {} ({tls}), admin {}", config.listen.public, config.listen.admin),
        format!("tokens   {} for {}", tokens.algorithm, format_span(tokens.access_lifetime)),
        format!("keys     {}", config.keys.directory.display()),
        format!("state    {}", config.state.directory.display()),
        format!("memory   {}", settings::memory_in_words(config)),
        format!("clients  {clients} in {}", config.clients.file.display()),
        match &config.users.sql {
            Some(sql) => format!("users    in a database, at most {} connections", sql.connections_max),
            None => format!("users    {users} in {}", config.users.file.display()),
        },
    ];
    lines.iter().try_for_each(|line| context.output.line(line))
}

fn show(context: &Context<'_>, origins: Option<Origins>, inputs: &Inputs) -> Result<(), Failure> {
    let loaded = load_with(context, inputs)?;
    if context.json {
        return context.output.json(&loaded.settings);
    }
    let with_origin = origins.is_some();
    let rows: Vec<Vec<String>> = loaded
        .settings
        .iter()
        .map(|setting| {
            let mut row = vec![setting.key.clone(), setting.as_toml()];
            row.extend(with_origin.then(|| setting.origin.to_string()));
            row
        })
        .collect();
    let header = ["KEY", "VALUE", "ORIGIN"];
    context.output.table(header.get(..if with_origin { 3 } else { 2 }).unwrap_or_default(), &rows)
}

fn problem_json(problem: &Problem) -> serde_json::Value {
    let mut json = json!({ "message": problem.message, "hint": problem.hint });
    let place = match &problem.place {
        Place::File { line, column, .. } => json!({ "line": line, "column": column }),
        Place::Environment(name) => json!({ "environment": name }),
        Place::Flag(key) => json!({ "flag": key }),
        Place::Whole => json!({}),
    };
    if let (Some(members), serde_json::Value::Object(place)) = (json.as_object_mut(), place) {
        members.extend(place);
    }
    json
}
