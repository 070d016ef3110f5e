//! The log on disk: records of changes in the buckets they end with, in an embedded database.
//!
//! The database gives what a file alone does not: a commit is there whole or not at all, and the room of what was
//! removed is used again. What it holds are records, each with its own checksum, and the head that counts them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{
    AccessGuard, Builder, Database, DatabaseError, ReadableDatabase as _, StorageBackend, TableDefinition, TableError,
};

use crate::protocol::time::UnixSeconds;
use crate::store::embedded::OpenError;
use crate::store::embedded::record::{HEAD, Head, Key, Unreadable, claimed_checksum, seal_record};

const TABLE: TableDefinition<Key, &[u8]> = TableDefinition::new("log");

/// A record where the database has it.
pub(super) type Record = AccessGuard<'static, &'static [u8]>;

/// Memory the database may keep pages in. The state is in memory already; the log is read once, at start.
const CACHE_BYTES_MAX: usize = 16 << 20;

/// A write that failed; the log takes no more.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct LogError(#[from] redb::Error);

/// Changes of one bucket, to be written as one record.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) bucket: u64,
    pub(super) count: u32,
    pub(super) changes: Vec<u8>,
}

/// What lies in one bucket.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    records: u64,
    bytes: u64,
    sum: u64,
}

impl Extent {
    fn of(record: &[u8]) -> Self {
        Self { records: 1, bytes: record.len() as u64, sum: claimed_checksum(record) }
    }

    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    fn take(&mut self, other: Self) {
        self.records = self.records.saturating_sub(other.records);
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.sum = self.sum.wrapping_sub(other.sum);
    }
}

/// The open log; one at a time, written by one thread.
#[derive(Debug)]
pub(super) struct Log {
    database: Database,
    head: Head,
    buckets: BTreeMap<u64, Extent>,
}

impl Log {
    /// Opens the log on `disk`, or makes one there if it is empty, which then knows nothing from before `now`.
    ///
    /// The database checks every page's checksum. A page that is damaged all the same could make it panic, which is
    /// taken as what it means: damage.
    pub(super) fn open(disk: impl StorageBackend, now: UnixSeconds) -> Result<Self, OpenError> {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE_BYTES_MAX).set_check_integrity_on_open(true);
            let database = builder.create_with_backend(disk).map_err(open_error)?;
            let head = match read_head(&database)? {
                Some(head) => head,
                None => {
                    let head = Head { knows_since: now, clock: now, next_sequence: 1, ..Head::default() };
                    write_first(&database, &head).map_err(|error| OpenError::Disk(error.to_string()))?;
                    head
                }
            };
            Ok(Self { database, head, buckets: BTreeMap::new() })
        }));
        opened.unwrap_or_else(|_| Err(OpenError::Damaged("its pages contradict each other".to_owned())))
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// Bytes of all records.
    pub(super) fn bytes(&self) -> u64 {
        self.buckets.values().map(|extent| extent.bytes).sum()
    }

    /// The number of the last record written.
    pub(super) fn last_sequence(&self) -> u64 {
        self.head.next_sequence.saturating_sub(1)
    }

    /// Hands every record over, in the order of their keys, unchecked; then compares their number and sum with the
    /// head. Call it once, before anything is written.
    pub(super) fn replay(&mut self, take: impl FnMut(Key, Record) -> Result<(), OpenError>) -> Result<(), OpenError> {
        let read = catch_unwind(AssertUnwindSafe(|| self.read_all(take)));
        read.unwrap_or_else(|_| Err(OpenError::Damaged("its pages contradict each other".to_owned())))
    }

    fn read_all(&mut self, mut take: impl FnMut(Key, Record) -> Result<(), OpenError>) -> Result<(), OpenError> {
        let read = self.database.begin_read().map_err(damaged)?;
        let table = read.open_table(TABLE).map_err(damaged)?;
        let mut total = Extent::default();
        for entry in table.range((1, 0)..).map_err(damaged)? {
            let (key, record) = entry.map_err(damaged)?;
            let extent = Extent::of(record.value());
            total.add(extent);
            self.buckets.entry(key.value().0).or_default().add(extent);
            take(key.value(), record)?;
        }
        if (total.records, total.sum) != (self.head.records, self.head.sum) {
            let (found, written) = (total.records, self.head.records);
            return Err(OpenError::Damaged(format!("{found} records do not match the {written} that were written")));
        }
        Ok(())
    }

    /// Writes records, and the head, as one commit. Everything is on disk when it answers `Ok`.
    pub(super) fn commit(&mut self, drafts: &[Draft], clock: UnixSeconds) -> Result<(), LogError> {
        let mut head = self.head;
        let mut written = Vec::with_capacity(drafts.len());
        let transaction = self.database.begin_write().map_err(redb::Error::from)?;
        {
            let mut table = transaction.open_table(TABLE).map_err(redb::Error::from)?;
            for draft in drafts {
                let key = (draft.bucket, head.next_sequence);
                let record = seal_record(key, draft.count, &draft.changes);
                table.insert(key, record.as_slice()).map_err(redb::Error::from)?;
                let extent = Extent::of(&record);
                head.next_sequence += 1;
                head.records += extent.records;
                head.sum = head.sum.wrapping_add(extent.sum);
                written.push((draft.bucket, extent));
            }
            head.clock = head.clock.max(clock);
            table.insert(HEAD, head.seal().as_slice()).map_err(redb::Error::from)?;
        }
        transaction.commit().map_err(redb::Error::from)?;
        self.head = head;
        for (bucket, extent) in written {
            self.buckets.entry(bucket).or_default().add(extent);
        }
        Ok(())
    }

    /// Whether a bucket has ended.
    pub(super) fn has_ended(&self, now: UnixSeconds) -> bool {
        self.buckets.keys().next().is_some_and(|end| UnixSeconds(*end).has_passed(now))
    }

    /// Removes every bucket that has ended, by its range of keys.
    pub(super) fn drop_ended(&mut self, now: UnixSeconds) -> Result<(), LogError> {
        let mut gone = Extent::default();
        self.buckets.range(..=now.0).for_each(|(_, extent)| gone.add(*extent));
        self.remove(gone, now, |table| table.retain_in((1, 0)..=(now.0, u64::MAX), |_, _| false))?;
        self.buckets.retain(|end, _| *end > now.0);
        Ok(())
    }

    /// Removes up to `records_max` of the records numbered up to `last` from buckets that end after `kept_until`, and
    /// says whether there may be more.
    pub(super) fn drop_superseded(
        &mut self,
        last: u64,
        records_max: usize,
        now: UnixSeconds,
        kept_until: UnixSeconds,
    ) -> Result<bool, LogError> {
        let found = self.superseded(last, records_max, kept_until)?;
        let mut gone = Extent::default();
        found.iter().for_each(|(_, extent)| gone.add(*extent));
        self.remove(gone, now, |table| {
            for (key, _) in &found {
                table.remove(key)?;
            }
            Ok(())
        })?;
        for ((bucket, _), extent) in &found {
            if let Some(own) = self.buckets.get_mut(bucket) {
                own.take(*extent);
            }
        }
        self.buckets.retain(|_, extent| extent.records > 0);
        Ok(found.len() == records_max)
    }

    fn superseded(
        &self,
        last: u64,
        records_max: usize,
        kept_until: UnixSeconds,
    ) -> Result<Vec<(Key, Extent)>, LogError> {
        let read = self.database.begin_read().map_err(redb::Error::from)?;
        let table = read.open_table(TABLE).map_err(redb::Error::from)?;
        let mut found = Vec::new();
        for bucket in self.buckets.keys().filter(|end| **end > kept_until.0) {
            for entry in table.range((*bucket, 0)..=(*bucket, last)).map_err(redb::Error::from)? {
                if found.len() == records_max {
                    return Ok(found);
                }
                let (key, record) = entry.map_err(redb::Error::from)?;
                found.push((key.value(), Extent::of(record.value())));
            }
        }
        Ok(found)
    }

    fn remove(
        &mut self,
        gone: Extent,
        clock: UnixSeconds,
        remove: impl FnOnce(&mut redb::Table<'_, Key, &'static [u8]>) -> Result<(), redb::StorageError>,
    ) -> Result<(), LogError> {
        let mut head = self.head;
        head.records = head.records.saturating_sub(gone.records);
        head.sum = head.sum.wrapping_sub(gone.sum);
        head.clock = head.clock.max(clock);
        let transaction = self.database.begin_write().map_err(redb::Error::from)?;
        {
            let mut table = transaction.open_table(TABLE).map_err(redb::Error::from)?;
            remove(&mut table).map_err(redb::Error::from)?;
            table.insert(HEAD, head.seal().as_slice()).map_err(redb::Error::from)?;
        }
        transaction.commit().map_err(redb::Error::from)?;
        self.head = head;
        Ok(())
    }
}

/// The head, or `None` if the database is new. A table without a head is damage: both are made in one commit.
fn read_head(database: &Database) -> Result<Option<Head>, OpenError> {
    let read = database.begin_read().map_err(damaged)?;
    let table = match read.open_table(TABLE) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(damaged(error)),
    };
    let bytes = table.get(HEAD).map_err(damaged)?;
    let bytes = bytes.ok_or_else(|| OpenError::Damaged("its head is missing".to_owned()))?;
    Head::open(bytes.value()).map(Some).map_err(|error| unreadable("the head", error))
}

fn write_first(database: &Database, head: &Head) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(TABLE)?.insert(HEAD, head.seal().as_slice())?;
    transaction.commit()?;
    Ok(())
}

/// What the reader says about `what`.
pub(super) fn unreadable(what: &str, error: Unreadable) -> OpenError {
    match error {
        Unreadable::Newer(version) => OpenError::Newer(version),
        Unreadable::Damaged | Unreadable::Nonsense => OpenError::Damaged(format!("{what}: {error}")),
    }
}

fn damaged(error: impl Into<redb::Error>) -> OpenError {
    match error.into() {
        redb::Error::Io(error) => OpenError::Disk(error.to_string()),
        error => OpenError::Damaged(error.to_string()),
    }
}

fn open_error(error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse,
        error => damaged(error),
    }
}
