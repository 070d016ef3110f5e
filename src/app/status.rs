//! Keeps the status lists current, on a thread that may block.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::issuer::Issuer;

/// How often the lists are brought up to date: well within the second that a list's cache life leaves for it.
const TICK: Duration = Duration::from_millis(500);

/// Runs until told to stop; then once more, so that what the last requests were given is written down.
pub(super) async fn run(issuer: Arc<Issuer>, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stopping = tokio::select! {
            _ = ticks.tick() => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        if issuer.has_status_lists() {
            let issuer = Arc::clone(&issuer);
            if let Err(error) = tokio::task::spawn_blocking(move || issuer.build_status_lists()).await {
                tracing::error!(%error, "building status lists stopped; the next turn tries again");
            }
        }
        if stopping {
            return;
        }
    }
}
