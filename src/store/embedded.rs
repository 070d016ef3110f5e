//! The durable store of one machine: memory is the index, a log on disk is the truth.
//!
//! A verb decides in memory, under its shard's lock, and notes its change in the commit queue under the same lock. It
//! answers when everything it has seen or changed is on disk (see [`queue`]). One thread writes: what came in while it
//! wrote goes out as the next commit, so a thousand callers share one sync. At start the log is read into memory.
//!
//! When a write fails the store is *poisoned*: verbs answer [`StoreError::Unavailable`], reads go on from memory,
//! and only a start of the process, which reads the log again, ends that.

mod log;
mod numbers;
mod queue;
mod record;
mod writer;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use redb::StorageBackend as Disk;
use redb::backends::FileBackend;

use crate::protocol::id::{FamilyId, Jti};
use crate::protocol::time::UnixSeconds;
use crate::state::{Change, EpochOf, FamilyFacts, Rotated, Rotation, Space};
use crate::store::feed;
use crate::store::shards::{Gathered, Shards};
use crate::store::{Figures, Health, Pending, Reading, Settings, Spent, Store, StoreError};
use log::{Log, Record, unreadable};
use numbers::Numbers;
use queue::Queue;
use record::{Key, Unreadable, open_record};
use writer::Writer;

/// The log's name in the state directory.
const FILE: &str = "state.redb";
/// Its name while it is being made.
const FILE_NEW: &str = "state.redb.new";

/// How long [`Sync::Shared`] lets callers join before it writes.
const LINGER: Duration = Duration::from_millis(2);
/// Threads that read the log at start, at the most.
const READERS_MAX: usize = 8;
/// Records that wait for each of them.
const RECORDS_AHEAD: usize = 16;

/// When a batch goes to disk. Either way nothing is answered before its change is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// At once: what came while the last one was written goes out as the next.
    AtOnce,
    /// After two milliseconds, in which more can join: fewer syncs, for two milliseconds of every caller's time.
    Shared,
}

/// Why the log does not open. Nothing was changed in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another gateway runs on it; each needs its own [state] directory")]
    InUse,
    /// It cannot be reached, read or made.
    #[error("{0}")]
    Disk(String),
    /// It was written by a later program.
    #[error("it is in format version {0}; this mintgate reads version {version}: use the later one", version = record::VERSION)]
    Newer(u8),
    /// It is not what was written: some of what was acknowledged may be missing.
    #[error(
        "it is damaged: {0}; restore it from a backup, or move it away: then every log-in from before ends and has to \
         be made again, and what was revoked stays revoked until then"
    )]
    Damaged(String),
    /// It holds more than may be kept.
    #[error("it holds more than [state] entries_max = {0} entries; raise it: nothing is forgotten to make room")]
    Full(usize),
}

impl From<Unreadable> for OpenError {
    fn from(error: Unreadable) -> Self {
        unreadable("a record", error)
    }
}

/// The durable store. Dropping it writes what is waiting and closes the log.
#[derive(Debug)]
pub struct EmbeddedStore {
    shards: Arc<Shards>,
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
    /// Tokens that the log denies, by their whole ids, until somebody asks: memory keeps half of each.
    denied: Mutex<Vec<Change>>,
    /// Where the feed's numbers are written down; a disk of a test's own has no such place.
    numbers: Option<Numbers>,
}

impl EmbeddedStore {
    /// Opens the log in `directory` and reads it into memory, or makes an empty one. Blocks: 10 million entries take
    /// in the order of a second or two.
    ///
    /// # Errors
    /// [`OpenError`], with the file's path to tell.
    pub fn open(
        directory: &Path,
        settings: Settings,
        sync: Sync,
        now: UnixSeconds,
    ) -> Result<Self, (PathBuf, OpenError)> {
        let path = directory.join(FILE);
        let told = |error| (path.clone(), error);
        let disk = |error: io::Error| OpenError::Disk(error.to_string());
        if !path.try_exists().map_err(disk).map_err(told)? {
            make(directory, now).map_err(told)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(disk).map_err(told)?;
        let file = FileBackend::new(file).map_err(|error| OpenError::Disk(error.to_string())).map_err(told)?;
        let mut store = Self::open_on(file, settings, sync, now).map_err(told)?;
        store.numbers = Some(Numbers::in_directory(directory));
        Ok(store)
    }

    /// As [`EmbeddedStore::open`], on any disk: tests bring their own.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_on(disk: impl Disk, settings: Settings, sync: Sync, now: UnixSeconds) -> Result<Self, OpenError> {
        let mut log = Log::open(disk, now)?;
        let mut shards = Shards::new(settings);
        shards.know_since(log.head().knows_since);
        // The log's own clock first: what it saw is never unseen, whatever the machine says now.
        let latest = shards.observe(log.head().clock.max(now));
        let denied = replay(&mut log, &shards, settings.entries_max, latest)?;
        shards.tick(now);
        let (shards, queue) = (Arc::new(shards), Arc::new(Queue::new()));
        let linger = match sync {
            Sync::AtOnce => Duration::ZERO,
            Sync::Shared => LINGER,
        };
        queue.say_log_bytes(log.bytes());
        let log_bytes_min = settings.log_bytes_min;
        let (for_shards, for_queue) = (Arc::clone(&shards), Arc::clone(&queue));
        let writer = Writer { log, shards: for_shards, queue: for_queue, linger, log_bytes_min, compaction: None };
        let thread = std::thread::Builder::new().name("state-log".to_owned());
        let writer = thread.spawn(move || writer.run()).map_err(|error| OpenError::Disk(error.to_string()))?;
        Ok(Self { shards, queue, writer: Some(writer), denied: Mutex::new(denied), numbers: None })
    }
}

/// What a start reads from one record of the log that was written whole and has this content, and the content as it
/// would be written again. For tests: the checksum refuses strange bytes before anything else looks at them.
///
/// # Errors
/// Why it cannot be read.
pub fn recover(count: u32, content: &[u8]) -> Result<(Vec<Change>, Vec<u8>), OpenError> {
    let (place, mut changes, mut again) = ((1, 1), Vec::new(), Vec::new());
    let record = record::seal_record(place, count, content);
    open_record::<OpenError>(place, &record, |change| {
        record::write_change(&mut again, &change);
        changes.push(change);
        Ok(())
    })?;
    Ok((changes, again))
}

/// Makes an empty log beside its place and moves it there when it is whole, so that no crash leaves half of one.
fn make(directory: &Path, now: UnixSeconds) -> Result<(), OpenError> {
    let disk = |error: io::Error| OpenError::Disk(error.to_string());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(disk)?;
    let (unfinished, path) = (directory.join(FILE_NEW), directory.join(FILE));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&unfinished).map_err(disk)?;
    let backend = FileBackend::new(file).map_err(|error| OpenError::Disk(error.to_string()))?;
    drop(Log::open(backend, now)?);
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(disk)?;
    std::fs::rename(&unfinished, &path).map_err(disk)?;
    // The name is lasting when the folder is, and a new folder's name when its parent is.
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for folder in [directory, parent] {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk)?;
    }
    Ok(())
}

/// Reads the log into the shards, and gives the tokens it denies by their whole ids. One thread reads pages, the others
/// check and apply; the order does not matter.
fn replay(log: &mut Log, shards: &Shards, entries_max: usize, now: UnixSeconds) -> Result<Vec<Change>, OpenError> {
    let readers = std::thread::available_parallelism().map_or(1, usize::from).min(READERS_MAX);
    std::thread::scope(|scope| {
        let (mut lanes, mut threads) = (Vec::new(), Vec::new());
        for _ in 0..readers {
            let (lane, records) = sync_channel::<(Key, Record)>(RECORDS_AHEAD);
            lanes.push(lane);
            threads.push(scope.spawn(move || apply_all(&records, shards, entries_max, now)));
        }
        let mut turn = lanes.iter().cycle();
        let read = log.replay(|key, record| {
            // A lane that is closed has failed; it says why itself.
            let closed = turn.next().is_none_or(|lane| lane.send((key, record)).is_err());
            if closed { Err(OpenError::Damaged("it cannot be read to its end".to_owned())) } else { Ok(()) }
        });
        drop(lanes);
        let mut denied = Vec::new();
        for thread in threads {
            denied.extend(thread.join().map_err(|_| OpenError::Damaged("its records cannot be applied".to_owned()))??);
        }
        read?;
        shards.trim();
        Ok(denied)
    })
}

fn apply_all(
    records: &Receiver<(Key, Record)>,
    shards: &Shards,
    entries_max: usize,
    now: UnixSeconds,
) -> Result<Vec<Change>, OpenError> {
    let full = |_| OpenError::Full(entries_max);
    let (mut denied, mut gathered) = (Vec::new(), Gathered::new(shards, now));
    for (key, record) in records {
        open_record(key, record.value(), |change| {
            let live = matches!(change, Change::DenyJti { expires_at, .. } if !expires_at.has_passed(now));
            // One more than the feed may hold says that there is too much for it, and until when: it is the last to end.
            if live && denied.len() <= feed::ENTRIES_MAX {
                denied.push(change.clone());
            } else if let Some(last) = denied.last_mut().filter(|last| live && last.ends_at() < change.ends_at()) {
                *last = change.clone();
            }
            gathered.add(change).map_err(full)
        })?;
    }
    gathered.finish().map_err(full)?;
    Ok(denied)
}

impl Store for EmbeddedStore {
    fn rotate(&self, order: Rotation, now: UnixSeconds) -> Pending<'_, Rotated> {
        Box::pin(async move {
            self.queue.admit()?;
            let rotated = self.shards.rotate(&order, now, self.queue.as_ref())?;
            // Every verdict waits, not only the one that changed something: a retry is answered with a generation that
            // must be on disk before anybody holds it, whoever advanced the family.
            self.queue.settled().await?;
            Ok(rotated)
        })
    }

    fn commit(&self, changes: Vec<Change>, now: UnixSeconds) -> Pending<'_, ()> {
        Box::pin(async move {
            self.queue.admit()?;
            self.shards.commit(&changes, now, self.queue.as_ref())?;
            self.queue.settled().await
        })
    }

    fn spend(&self, space: Space, id: [u8; 16], ends_at: UnixSeconds, now: UnixSeconds) -> Pending<'_, Spent> {
        Box::pin(async move {
            self.queue.admit()?;
            let spent = self.shards.spend(&Change::SpendId { space, id, ends_at }, now, self.queue.as_ref())?;
            self.queue.settled().await?;
            Ok(spent)
        })
    }

    fn read_clock(&self, now: UnixSeconds) -> Reading {
        self.shards.read_clock(now)
    }

    fn family(&self, family: FamilyId, now: UnixSeconds) -> FamilyFacts {
        self.shards.family(family, now)
    }

    fn is_denied(&self, jti: Jti, expires_at: UnixSeconds, now: UnixSeconds) -> bool {
        self.shards.is_denied(jti, expires_at, now)
    }

    fn epoch(&self, of: &EpochOf) -> Option<UnixSeconds> {
        self.shards.epoch(of)
    }

    fn revocations(&self) -> (UnixSeconds, Vec<Change>) {
        let denied = std::mem::take(&mut *self.denied.lock().unwrap_or_else(PoisonError::into_inner));
        let (latest, mut all) = self.shards.revocations();
        all.extend(denied);
        (latest, all)
    }

    fn reserve(&self, least: u64, count: u64) -> Result<u64, StoreError> {
        let Some(numbers) = &self.numbers else { return Ok(least) };
        numbers.reserve(least, count).map_err(|error| {
            tracing::error!(%error, "the feed's numbers cannot be set aside");
            StoreError::Unavailable
        })
    }

    fn figures(&self) -> Figures {
        Figures { log_bytes: self.queue.log_bytes(), ..self.shards.figures() }
    }

    fn health(&self) -> Health {
        if self.queue.is_poisoned() { Health::Poisoned } else { self.shards.health() }
    }

    fn tick(&self, now: UnixSeconds) {
        let latest = self.shards.tick(now);
        self.queue.tick(latest);
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.queue.stop();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so; there is nothing left to do here.
            let _ = writer.join();
        }
    }
}
