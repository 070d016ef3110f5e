//! `mintgate init`: a directory that `mintgate serve` starts on as it is.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::ambient::document::Locked;
use crate::cli::Context;
use crate::cli::failure::{Exit, Failure};
use crate::config::{check_issuer, template};
use crate::keys::{self, initialise};
use crate::{client, user};

/// What to make.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where; made if it does not exist
    #[arg(default_value = ".")]
    pub directory: PathBuf,
    /// The URL that verifiers know the gateway by; https, or http on loopback
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub issuer: String,
    /// Where everybody reaches it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub public: SocketAddr,
    /// Where health, metrics and administration are; keep it private
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub admin: SocketAddr,
    /// Say what would be made, make nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Makes the directory.
///
/// # Errors
/// `Usage` for an issuer that cannot be one, `Conflict` if there is a configuration or a key set already, `Failed` if
/// a file cannot be written.
pub fn run(args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    if args.dry_run {
        check(args)?;
        let made = ["mintgate.toml", "keys/", "users.toml", "clients.toml"];
        let paths: Vec<String> = made.iter().map(|name| args.directory.join(name).display().to_string()).collect();
        return context.output.line(&format!("would make {}", paths.join(", ")));
    }
    let config = create(args, context)?;
    if context.json {
        return context.output.json(&json!({"config": config, "issuer": args.issuer}));
    }
    let path = config.display();
    context.output.line(&format!("Made {path}, with a signing key and a sealing key in keys/."))?;
    context.output.line("Next:")?;
    context.output.line(&format!(
        "  mintgate clients add my-service --grant client_credentials --scope \"read write\" --audience https://api.example --config {path}"
    ))?;
    context.output.line(&format!("  mintgate serve --config {path}"))
}

/// Makes the directory and gives the path of its configuration.
///
/// # Errors
/// As [`run`].
pub fn create(args: &Args, context: &Context<'_>) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    check(args)?;
    let directory = &args.directory;
    let failed =
        |path: &Path, error: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error: io::Error| failed(directory, &error))?;
    // The same defaults the written configuration has.
    let mut settings = keys::Settings::new(directory.join("keys"));
    settings.publish_ahead = Duration::from_secs(3_600);
    initialise(&settings, context.clock.now(), context.entropy).map_err(|error| {
        Failure::new(Exit::Failed, error.to_string())
            .hint("nothing was overwritten; choose another directory, or remove keys/ if it is of no use any more")
    })?;
    for (name, heading) in [("users.toml", user::file::HEADING), ("clients.toml", client::file::HEADING)] {
        let path = directory.join(name);
        if !path.exists() {
            write(&path, heading)?;
        }
    }
    // Last: a directory with a configuration is a whole one.
    let config = directory.join("mintgate.toml");
    write(&config, &template(&args.issuer, args.public, args.admin))?;
    Ok(config)
}

fn check(args: &Args) -> Result<(), Failure> {
    check_issuer(&args.issuer).map_err(|error| Failure::new(Exit::Usage, format!("--issuer: {error}")))?;
    let config = args.directory.join("mintgate.toml");
    if config.exists() {
        return Err(Failure::new(Exit::Conflict, format!("{} exists already", config.display()))
            .hint("mintgate init never overwrites; choose another directory"));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    Locked::acquire(path)
        .and_then(|file| file.replace(text))
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}
