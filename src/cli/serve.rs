//! `mintgate serve`.

use std::sync::Arc;

use serde_json::json;

use crate::ambient::{SystemClock, SystemEntropy};
use crate::app::{Addresses, Gateway, StartError, settings};
use crate::cli::config::load_with;
use crate::cli::failure::{Exit, Failure};
use crate::cli::{Context, runtime};
use crate::config::Inputs;
use crate::config::reload::Reloadable;
use crate::http::limits::raise_files_limit;
use crate::telemetry::log;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// `Usage` if the configuration, or a file it names, is wrong: the server does not start.
pub fn run(context: &Context<'_>) -> Result<(), Failure> {
    serve(context, Inputs::from_process(), |addresses, issuer| {
        if !context.json {
            return Ok(());
        }
        context.output.json(&json!({"issuer": issuer, "url": addresses.public, "admin_url": addresses.admin}))
    })
}

/// Serves; `announce` is called once the listeners are bound, with their addresses and the issuer.
///
/// # Errors
/// As [`run`], and what `announce` says.
pub fn serve(
    context: &Context<'_>,
    inputs: Inputs,
    announce: impl FnOnce(&Addresses, &str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let loaded = load_with(context, &inputs).map_err(with_init_hint(context))?;
    let log = log::start(&settings::log(&loaded.config))
        .map_err(|error| Failure::new(Exit::Usage, format!("[log]: {error}")))?;
    let log = Arc::new(log);
    let issuer = loaded.config.issuer.clone();
    let words = settings::durability_in_words(loaded.config.state.durability);
    if settings::sync(&loaded.config).is_some() {
        tracing::info!("{words}")
    } else {
        tracing::warn!("{words}")
    }
    let current = Reloadable::read(&context.config_path, &inputs).map_err(|error| refused(&error.into()))?;
    raise_files_limit();
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy));
        let gateway = Gateway::assemble(current, inputs, clock, entropy).await.map_err(|error| refused(&error))?;
        announce(gateway.addresses(), &issuer)?;
        gateway.serve(Arc::clone(&log)).await;
        Ok(())
    });
    // What is still on the pool (a stuck disk) must not hold up the end of the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served
}

fn refused(error: &StartError) -> Failure {
    let code = match error {
        StartError::Read(_)
        | StartError::Keys(_)
        | StartError::Tls(_)
        | StartError::Users(_)
        | StartError::Listen { .. } => Exit::Usage,
        StartError::Passwords(_)
        | StartError::Door { .. }
        | StartError::State { .. }
        | StartError::StatusLists { .. }
        | StartError::Entropy(_) => Exit::Failed,
    };
    Failure::new(code, error.to_string())
}

/// Whoever has no configuration yet is told how to make one.
fn with_init_hint(context: &Context<'_>) -> impl FnOnce(Failure) -> Failure {
    let missing = !context.config_path.exists();
    move |failure| {
        if missing { failure.hint("make one with `mintgate init`, or try `mintgate dev`") } else { failure }
    }
}
