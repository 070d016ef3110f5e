//! `mintgate health`: the probe of a container, without curl.

use hyper::{Method, StatusCode};

use crate::app::door;
use crate::cli::Context;
use crate::cli::config::load;
use crate::cli::failure::{Exit, Failure};
use crate::cli::gateway::{Question, ask};

/// Whom to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The admin listener; without it, the one of the configuration
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// Asks `/health/ready`.
///
/// # Errors
/// `NotReady` (exit code 3) if the gateway does not answer or says that it is not.
pub fn run(args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    let url = match &args.url {
        Some(url) => url.clone(),
        None => {
            let config = load(context)?.config;
            // The running gateway says where it is; the configuration may have port 0.
            let known = door::read(&config.state.directory).map(|door| door.url);
            known.unwrap_or_else(|_| format!("http://{}", config.listen.admin))
        }
    };
    let question = Question { method: Method::GET, url: &url, path: "/health/ready", token: None, body: None };
    let (status, answer) = ask(&question)?;
    if context.json {
        context.output.json(&answer)?;
    }
    if status == StatusCode::OK {
        return if context.json { Ok(()) } else { context.output.line("ready") };
    }
    Err(Failure::new(Exit::NotReady, format!("{url} is not ready: {answer}")))
}
