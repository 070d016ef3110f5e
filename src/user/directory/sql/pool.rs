//! A bounded pool: so many connections at the most, and nobody waits longer than the time-out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::user::directory::DirectoryError;

/// Idle connections, and the right to use so many at once.
pub(super) struct Pool<C> {
    idle: Mutex<Vec<C>>,
    turns: Semaphore,
    timeout: Duration,
}

impl<C> Pool<C> {
    pub(super) fn new(connections: usize, timeout: Duration) -> Self {
        Self { idle: Mutex::default(), turns: Semaphore::new(connections), timeout }
    }

    /// Waits for a turn and does the work, all within the time-out. Work that runs out of it is dropped, and its
    /// connection with it.
    pub(super) async fn turn<T>(
        &self,
        work: impl Future<Output = Result<T, DirectoryError>>,
    ) -> Result<T, DirectoryError> {
        let within = async {
            let turn = self.turns.acquire().await.map_err(|_| DirectoryError)?;
            let done = work.await;
            drop(turn);
            done
        };
        tokio::time::timeout(self.timeout, within).await.unwrap_or_else(|_| {
            tracing::warn!(timeout_ms = self.timeout.as_millis(), "the user database does not answer in time");
            Err(DirectoryError)
        })
    }

    pub(super) fn take(&self) -> Option<C> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(super) fn put_back(&self, connection: C) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}
