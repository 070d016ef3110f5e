//! The one thread that writes the log: batches first, then what keeps the log short.

use std::sync::Arc;
use std::time::Duration;

use crate::protocol::time::UnixSeconds;
use crate::state::Change;
use crate::store::embedded::log::{Draft, Log, LogError};
use crate::store::embedded::queue::{Batch, Patience, Queue, Work, bucket_of};
use crate::store::embedded::record::write_change;
use crate::store::shards::Shards;

/// How often the time is written down when nothing else is: what a clock set back can hide is at most this.
const CLOCK_EVERY: Duration = Duration::from_secs(60);
/// A log this many times as long as what it says is written anew.
const COMPACT_RATIO: u64 = 4;
/// Bytes of an entry in a log that says everything once: the largest common kind, a rotation.
const ENTRY_BYTES: u64 = 29;
/// Bytes of changes in one record of a rewritten log.
const RECORD_BYTES: usize = 256 << 10;
/// Buckets that end within this are left as they are: they go by themselves soon, and all denied tokens are in them
/// (a token lives a day at the most, and its bucket ends within a day of it).
const KEPT: Duration = Duration::from_secs(48 * 3_600);
/// Records one step writes.
const STEP_RECORDS_MAX: usize = 8;
/// Records one step removes.
const STEP_REMOVED_MAX: usize = 512;

/// The log and who feeds it.
pub(super) struct Writer {
    pub(super) log: Log,
    pub(super) shards: Arc<Shards>,
    pub(super) queue: Arc<Queue>,
    pub(super) linger: Duration,
    /// See [`crate::store::Settings::log_bytes_min`].
    pub(super) log_bytes_min: u64,
    pub(super) compaction: Option<Compaction>,
}

/// Writing the log anew while it is in use.
///
/// What the state holds is written again, part by part, behind everything that is there; then what was there before the
/// first part was asked is removed. A crash anywhere leaves some things said twice, which changes nothing: merges are
/// monotone.
#[derive(Debug)]
pub(super) struct Compaction {
    /// The last record that is superseded.
    last: u64,
    /// The next part of the state to ask.
    part: usize,
    /// Changes of a part that are not written yet.
    waiting: std::vec::IntoIter<Change>,
}

/// A writer that ends for any reason but an order, a panic too, leaves a poisoned queue and not waiting callers.
struct PoisonOnDrop<'a>(&'a Queue);

impl Drop for PoisonOnDrop<'_> {
    fn drop(&mut self) {
        self.0.poison(None);
    }
}

impl Writer {
    /// Writes until told to stop, or until a write fails. A failed write is not tried again: after a failed sync the
    /// system may have dropped the very pages it could not write, and the next sync would call them written.
    pub(super) fn run(mut self) {
        let queue = Arc::clone(&self.queue);
        let poison = PoisonOnDrop(&queue);
        loop {
            queue.say_log_bytes(self.log.bytes());
            let patience = if self.compaction.is_some() { Patience::Busy } else { Patience::Wait };
            let done = match self.queue.next(patience, self.linger) {
                Work::Write(batch) => self.write(&batch),
                Work::Tick(now) => self.look_after(now),
                Work::Nothing => Ok(()),
                Work::Stop => break,
            };
            let done = done.and_then(|()| self.compact_a_little());
            if let Err(error) = done {
                tracing::error!(
                    %error,
                    "the state cannot be written: refreshes and revocations answer 503 until the cause is removed and \
                     the gateway started again; verification and client_credentials go on"
                );
                break;
            }
        }
        drop(poison);
    }

    fn write(&mut self, batch: &Batch) -> Result<(), LogError> {
        let written = self.log.commit(&batch.drafts, batch.clock);
        match &written {
            Ok(()) => self.queue.landed(batch),
            Err(_) => self.queue.poison(Some(batch)),
        }
        written
    }

    fn look_after(&mut self, now: UnixSeconds) -> Result<(), LogError> {
        if self.log.has_ended(now) {
            self.log.drop_ended(now)?;
        } else if self.log.head().clock.after(CLOCK_EVERY) <= now {
            self.log.commit(&[], now)?;
        }
        let needed = (self.shards.entries() as u64).saturating_mul(ENTRY_BYTES);
        let too_long = self.log_bytes_min.max(needed.saturating_mul(COMPACT_RATIO));
        if self.compaction.is_none() && self.log.bytes() > too_long {
            self.compaction = Some(Compaction::up_to(self.log.last_sequence()));
            tracing::info!(bytes = self.log.bytes(), needed, "writing the log anew");
        }
        Ok(())
    }

    /// One step of writing the log anew, small enough for callers to wait.
    fn compact_a_little(&mut self) -> Result<(), LogError> {
        let Some(compaction) = &mut self.compaction else { return Ok(()) };
        let now = self.log.head().clock;
        if compaction.waiting.len() == 0 && compaction.part < self.shards.parts() {
            // Denied tokens are not in it and stay where they are, see [`KEPT`]: memory has only half of their ids.
            compaction.waiting = self.shards.snapshot(compaction.part).into_iter();
            compaction.part += 1;
        }
        if compaction.waiting.len() > 0 {
            let drafts = drafts_of(&mut compaction.waiting, now);
            return self.log.commit(&drafts, now);
        }
        if compaction.part < self.shards.parts() {
            return Ok(());
        }
        let last = compaction.last;
        if !self.log.drop_superseded(last, STEP_REMOVED_MAX, now, now.after(KEPT))? {
            self.compaction = None;
            tracing::info!(bytes = self.log.bytes(), "the log is written anew");
        }
        Ok(())
    }
}

impl Compaction {
    pub(super) fn up_to(last: u64) -> Self {
        Self { last, part: 0, waiting: Vec::new().into_iter() }
    }
}

/// Takes changes until a few records are full.
fn drafts_of(changes: &mut std::vec::IntoIter<Change>, now: UnixSeconds) -> Vec<Draft> {
    let mut full: Vec<Draft> = Vec::new();
    let mut open: Vec<Draft> = Vec::new();
    for change in changes {
        let bucket = bucket_of(change.ends_at(), now);
        let position = open.iter().position(|draft| draft.bucket == bucket).unwrap_or_else(|| {
            open.push(Draft { bucket, ..Draft::default() });
            open.len().saturating_sub(1)
        });
        let Some(draft) = open.get_mut(position) else { continue };
        write_change(&mut draft.changes, &change);
        draft.count = draft.count.saturating_add(1);
        if draft.changes.len() >= RECORD_BYTES {
            full.push(open.swap_remove(position));
            if full.len() >= STEP_RECORDS_MAX {
                break;
            }
        }
    }
    full.append(&mut open);
    full
}
