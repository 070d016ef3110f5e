//! What changes while a gateway runs: signals, files, time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::ambient::Clock;
use crate::ambient::document::{Stamp, stamp};
use crate::app::settings;
use crate::config::Inputs;
use crate::config::reload::Reloadable;
use crate::http::tls::Tls;
use crate::issuer::Issuer;
use crate::keys::Keyring;
use crate::telemetry::metrics::Metrics;
use crate::user::directory::file::FileDirectory;

/// How often clients and users are looked at; a change is in force within two seconds.
const TICK: Duration = Duration::from_millis(500);

/// Follows signals, files and the clock.
pub(super) struct Watch {
    pub(super) current: Reloadable,
    pub(super) inputs: Inputs,
    pub(super) issuer: Arc<Issuer>,
    pub(super) users_file: Option<Arc<FileDirectory>>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What made us look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// SIGHUP.
    Signal,
    /// A file of clients or users is another one than before.
    Files,
}

impl Watch {
    /// Runs until told to stop; tells followers of revocations meanwhile.
    pub(super) async fn run(self, stop: watch::Receiver<bool>) {
        let announcer = Arc::clone(&self.issuer).announce_forever();
        tokio::select! {
            () = announcer => {}
            () = self.look_round(stop) => {}
        }
    }

    async fn look_round(mut self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Without the signal a reload is still possible: by files, and by a restart.
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut seen = self.stamps();
        loop {
            let cause = tokio::select! {
                _ = ticks.tick() => Cause::Files,
                () = hung_up(&mut hangup) => Cause::Signal,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            self.issuer.tick();
            // Taken before the files are read: one that changes meanwhile is read once more, never missed.
            let stamps = self.stamps();
            if cause == Cause::Files && stamps == seen {
                continue;
            }
            seen = stamps;
            self = match tokio::task::spawn_blocking(move || self.reload(cause)).await {
                Ok(back) => back,
                Err(error) => {
                    tracing::error!(%error, "reloading stopped");
                    return;
                }
            };
        }
    }

    fn stamps(&self) -> [Option<Stamp>; 2] {
        let config = &self.current.loaded.config;
        [stamp(&config.clients.file), stamp(&config.users.file)]
    }

    /// Reads everything anew and takes all of it or nothing.
    fn reload(mut self, cause: Cause) -> Self {
        let path = self.current.loaded.config.file.clone();
        match self.read_and_take(&path, cause) {
            Ok(()) => self.metrics.reloads.inc("ok"),
            Err(error) => {
                self.metrics.reloads.inc("refused");
                tracing::error!(error, "reload refused; nothing has changed");
            }
        }
        self
    }

    fn read_and_take(&mut self, path: &Path, cause: Cause) -> Result<(), String> {
        let (fresh, differences) = self.current.read_again(path, &self.inputs).map_err(|error| error.to_string())?;
        // Whatever can refuse comes before the first swap.
        if cause == Cause::Signal {
            // The keys first: they follow their files by themselves, so taking them now decides nothing early.
            let rules = settings::keys(&fresh.loaded.config).rules();
            self.keyring.change_rules(rules, self.clock.now()).map_err(|error| error.to_string())?;
            if let Some(tls) = &self.tls {
                tls.reload().map_err(|error| error.to_string())?;
            }
        }
        for difference in &differences {
            tracing::info!("{difference}");
        }
        let config = &fresh.loaded.config;
        self.issuer.reload(settings::issuer(config), fresh.registry.clone());
        self.keyring.census().configure(settings::keys(config).census);
        if let Some(file) = &self.users_file {
            file.replace(fresh.users.clone());
        }
        tracing::info!(changes = differences.len(), "reloaded");
        self.current = fresh;
        Ok(())
    }
}

/// Waits for SIGHUP; for ever, if the signal cannot be had.
async fn hung_up(hangup: &mut Option<tokio::signal::unix::Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Waits for SIGTERM or SIGINT and names it.
pub(super) async fn termination() -> &'static str {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    match (terminate, interrupt) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        }
        // Without handlers the system ends the process on its own.
        _ => std::future::pending().await,
    }
}
