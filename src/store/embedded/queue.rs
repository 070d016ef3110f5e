//! The commit queue: changes wait together for one write, and their callers for its end.
//!
//! There is one open batch, which takes what comes, and at most one in flight. A change is put into the open batch under
//! the lock under which it was made in memory. So a caller who has *seen* a change, made by whomever, finds that change in
//! the open batch, in flight, or on disk; and by waiting for the open batch, or if there is none for the one in flight,
//! it waits for everything its answer rests on. Batches are written in their order, and after one is lost nothing
//! is written any more: no answer is ever given that rests on a change that is not on disk.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::watch;

use crate::protocol::time::UnixSeconds;
use crate::state::Change;
use crate::state::sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering};
use crate::store::StoreError;
use crate::store::embedded::log::Draft;
use crate::store::embedded::record::write_change;
use crate::store::shards::Journal;

/// Bytes of changes that may wait for the disk; beyond it verbs answer [`StoreError::Unavailable`].
const WAITING_BYTES_MAX: usize = 64 << 20;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is waiting or being written.
    Open,
    /// It is on disk.
    Lasting,
    /// Nobody knows whether it is on disk.
    Lost,
}

/// Changes that are written together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) drafts: Vec<Draft>,
    pub(crate) clock: UnixSeconds,
    fate: watch::Sender<Fate>,
}

impl Batch {
    fn new() -> Self {
        Self { drafts: Vec::new(), clock: UnixSeconds(0), fate: watch::Sender::new(Fate::Open) }
    }

    fn bytes(&self) -> usize {
        self.drafts.iter().map(|draft| draft.changes.len()).sum()
    }
}

/// What the writer does next.
#[derive(Debug)]
pub(crate) enum Work {
    /// Write this.
    Write(Batch),
    /// Look after the log: this is the time.
    Tick(UnixSeconds),
    /// Nothing right now.
    Nothing,
    /// Everything is written, and nobody will ask for more.
    Stop,
}

/// Whether the writer has something of its own to do if there is no work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// No: wait for work.
    Wait,
    /// Yes.
    Busy,
}

#[derive(Debug)]
struct Inner {
    open: Batch,
    in_flight: Option<watch::Receiver<Fate>>,
    poisoned: bool,
    stopping: bool,
    tick: Option<UnixSeconds>,
}

/// Between the callers and the one writer.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    work: Condvar,
    log_bytes: AtomicU64,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let inner = Inner { open: Batch::new(), in_flight: None, poisoned: false, stopping: false, tick: None };
        Self { inner: Mutex::new(inner), work: Condvar::new(), log_bytes: AtomicU64::new(0) }
    }

    /// A panic under this lock leaves whole values behind; see `store/shards.rs`.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a change may be made at all: asked before anything is changed in memory.
    pub(crate) fn admit(&self) -> Result<(), StoreError> {
        let inner = self.lock();
        if inner.poisoned || inner.open.bytes() > WAITING_BYTES_MAX {
            return Err(StoreError::Unavailable);
        }
        Ok(())
    }

    /// Waits until everything that has been noted so far is on disk.
    pub(crate) async fn settled(&self) -> Result<(), StoreError> {
        let waiting = {
            let inner = self.lock();
            if inner.poisoned {
                return Err(StoreError::Unavailable);
            }
            if inner.open.drafts.is_empty() { inner.in_flight.clone() } else { Some(inner.open.fate.subscribe()) }
        };
        let Some(mut fate) = waiting else { return Ok(()) };
        // A sender that is gone without a word is a writer that is gone: nobody knows what is on disk.
        let fate = fate.wait_for(|fate| *fate != Fate::Open).await.map_or(Fate::Lost, |fate| *fate);
        if fate == Fate::Lasting { Ok(()) } else { Err(StoreError::Unavailable) }
    }

    /// Tells the writer the time.
    pub(crate) fn tick(&self, now: UnixSeconds) {
        self.lock().tick = Some(now);
        self.work.notify_one();
    }

    /// Lets the writer finish what is there and end.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.work.notify_one();
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.lock().poisoned
    }

    /// Bytes of the log's records, as the writer last said.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn say_log_bytes(&self, bytes: u64) {
        self.log_bytes.store(bytes, Ordering::Relaxed);
    }

    /// The writer's next work; batches come before ticks. `linger` lets more callers join a batch before it goes.
    pub(crate) fn next(&self, patience: Patience, linger: Duration) -> Work {
        let mut inner = self.lock();
        loop {
            if !inner.open.drafts.is_empty() {
                if !linger.is_zero() && !inner.stopping {
                    drop(inner);
                    std::thread::sleep(linger);
                    inner = self.lock();
                }
                let batch = std::mem::replace(&mut inner.open, Batch::new());
                inner.in_flight = Some(batch.fate.subscribe());
                return Work::Write(batch);
            }
            if let Some(now) = inner.tick.take() {
                return Work::Tick(now);
            }
            if inner.stopping {
                return Work::Stop;
            }
            if patience == Patience::Busy {
                return Work::Nothing;
            }
            inner = self.work.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The batch in flight is on disk: its callers are released.
    pub(crate) fn landed(&self, batch: &Batch) {
        self.lock().in_flight = None;
        batch.fate.send_replace(Fate::Lasting);
    }

    /// A write failed: whoever waits, for this batch or the next, is told so, and nothing is taken any more.
    pub(crate) fn poison(&self, batch: Option<&Batch>) {
        let mut inner = self.lock();
        inner.poisoned = true;
        inner.in_flight = None;
        inner.open.fate.send_replace(Fate::Lost);
        if let Some(batch) = batch {
            batch.fate.send_replace(Fate::Lost);
        }
    }
}

impl Journal for Queue {
    fn note(&self, change: &Change, now: UnixSeconds) {
        let bucket = bucket_of(change.ends_at(), now);
        let mut inner = self.lock();
        if inner.poisoned {
            return;
        }
        let batch = &mut inner.open;
        let first = batch.drafts.is_empty();
        batch.clock = batch.clock.max(now);
        let position = batch.drafts.iter().position(|draft| draft.bucket == bucket);
        if position.is_none() {
            batch.drafts.push(Draft { bucket, ..Draft::default() });
        }
        let draft = match position {
            Some(position) => batch.drafts.get_mut(position),
            None => batch.drafts.last_mut(),
        };
        if let Some(draft) = draft {
            write_change(&mut draft.changes, change);
            draft.count = draft.count.saturating_add(1);
        }
        drop(inner);
        if first {
            self.work.notify_one();
        }
    }
}

/// The end of the bucket on disk for what ends at `end`: its class by what is left, rounded up to the class's width.
///
/// Few classes, so that a batch of changes with a hundred different ends is a few records and not a hundred; what lives
/// for minutes still does not lie beside what lives for months: what ends within the hour stays at most an hour longer,
/// within the day a day, within the week a week, and so on.
pub(crate) fn bucket_of(end: UnixSeconds, now: UnixSeconds) -> u64 {
    const HOUR: u64 = 3_600;
    const WIDTHS: [u64; 4] = [HOUR, 24 * HOUR, 7 * 24 * HOUR, 30 * 24 * HOUR];
    let left = end.since(now).as_secs();
    let width = WIDTHS.into_iter().find(|width| left <= *width).unwrap_or(90 * 24 * HOUR);
    end.0.div_ceil(width).saturating_mul(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_no_earlier_than_its_entries_and_a_batch_has_few() {
        let now = 1_700_000_000;
        let mut buckets = std::collections::BTreeSet::new();
        for left in (1..90 * 86_400).step_by(999) {
            let bucket = bucket_of(UnixSeconds(now + left), UnixSeconds(now));
            assert!(bucket >= now + left && bucket < now + left + 90 * 86_400, "{left}");
            buckets.insert(bucket);
        }
        assert!(buckets.len() <= 10, "{buckets:?}");
        let soon = bucket_of(UnixSeconds(now + 300), UnixSeconds(now));
        assert!(soon < now + 300 + 3_600, "{soon}");
        assert_eq!(bucket_of(UnixSeconds::NEVER, UnixSeconds(now)), u64::MAX);
    }
}
