//! Where users come from, as configured.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::ambient::Clock;
use crate::config::Config;
use crate::config::reload::Reloadable;
use crate::issuer::Issuer;
use crate::user::directory::Directory;
use crate::user::directory::file::FileDirectory;
use crate::user::directory::sql::{SetupError, SqlDirectory};

/// The directory that log-ins ask, and the file in it that a reload replaces, if it is one.
pub(super) struct People {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) file: Option<Arc<FileDirectory>>,
}

/// Makes the directory of the configuration. A database is not connected to yet.
///
/// # Errors
/// [`SetupError`] for a database that cannot be asked as configured.
pub(super) fn people(config: &Config, current: &Reloadable, clock: &Arc<dyn Clock>) -> Result<People, SetupError> {
    if let Some(sql) = &config.users.sql {
        return Ok(People { directory: Arc::new(SqlDirectory::new(sql.clone(), Arc::clone(clock))?), file: None });
    }
    let file = Arc::new(FileDirectory::new(config.users.file.clone(), current.users.clone()));
    Ok(People { directory: Arc::clone(&file) as _, file: Some(file) })
}

/// Learns what a comparison of a known user's password costs, so that an unknown user's costs the same from the first
/// log-in on. A database that is down is asked again, less and less often.
pub(super) async fn learn_password_cost(issuer: Arc<Issuer>, mut stop: watch::Receiver<bool>) {
    let mut wait = Duration::from_secs(1);
    while !issuer.learn_password_cost().await {
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(Duration::from_secs(60)),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
