//! A disk in memory that remembers what it was told, so that a test can cut the power at any moment, and fail at will.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use mintgate::store::embedded::Disk as Backend;

/// One thing a disk was told to do.
#[derive(Clone, Debug)]
enum Operation {
    Write(usize, Vec<u8>),
    Length(usize),
    Sync,
}

#[derive(Debug, Default)]
struct Inner {
    /// What the machine sees.
    live: Vec<u8>,
    /// What there was in the beginning, before the first operation.
    first: Vec<u8>,
    operations: Vec<Operation>,
    /// Operations that still succeed; then all fail.
    left: Option<usize>,
}

/// A disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

/// What a power cut leaves of the writes that were not synced yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// All of them: the process died, the machine did not.
    All,
    /// None.
    None,
    /// Every second one, beginning with the first: writes reach a disk in any order.
    Even,
    /// Every second one, beginning with the second.
    Odd,
    /// All, the last one only by half: a torn write.
    Torn,
}

impl Unsynced {
    pub const ALL: [Self; 5] = [Self::All, Self::None, Self::Even, Self::Odd, Self::Torn];
}

impl Disk {
    fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Inner { live: bytes.clone(), first: bytes, ..Inner::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    /// How many operations there were, syncs included.
    pub fn operations(&self) -> usize {
        self.lock().operations.len()
    }

    /// What the machine sees.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().live.clone()
    }

    pub fn length(&self) -> usize {
        self.lock().live.len()
    }

    /// Lets `count` more writes and syncs succeed; then all fail.
    pub fn fail_after(&self, count: usize) {
        self.lock().left = Some(count);
    }

    pub fn heal(&self) {
        self.lock().left = None;
    }

    /// Another disk that holds what is synced on this one.
    pub fn durable(&self) -> Self {
        self.cut(self.operations(), Unsynced::None)
    }

    /// Another disk: what the power cut after `count` operations leaves.
    pub fn cut(&self, count: usize, unsynced: Unsynced) -> Self {
        let inner = self.lock();
        let told = &inner.operations[..count];
        let synced = told.iter().rposition(|operation| matches!(operation, Operation::Sync)).map_or(0, |at| at + 1);
        let mut bytes = inner.first.clone();
        told[..synced].iter().for_each(|operation| apply(&mut bytes, operation, false));
        let pending = &told[synced..];
        for (at, operation) in pending.iter().enumerate() {
            let last = at + 1 == pending.len();
            let survives = match unsynced {
                Unsynced::All | Unsynced::Torn => true,
                Unsynced::None => false,
                Unsynced::Even => at % 2 == 0,
                Unsynced::Odd => at % 2 == 1,
            };
            if survives {
                apply(&mut bytes, operation, last && unsynced == Unsynced::Torn);
            }
        }
        Self::of(bytes)
    }

    /// Another disk that differs from this one in one bit.
    pub fn with_flipped(&self, bit: usize) -> Self {
        let mut bytes = self.lock().live.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        Self::of(bytes)
    }

    fn act(&self, operation: Operation) -> io::Result<()> {
        let mut inner = self.lock();
        match &mut inner.left {
            Some(0) => return Err(io::Error::other("the test's disk fails")),
            Some(left) => *left -= 1,
            None => (),
        }
        apply(&mut inner.live, &operation, false);
        inner.operations.push(operation);
        Ok(())
    }
}

fn apply(bytes: &mut Vec<u8>, operation: &Operation, by_half: bool) {
    match operation {
        Operation::Write(offset, data) => {
            let data = if by_half { &data[..data.len() / 2] } else { data };
            // A write whose growth was lost grows by itself, as a file does.
            if bytes.len() < offset + data.len() {
                bytes.resize(offset + data.len(), 0);
            }
            bytes[*offset..offset + data.len()].copy_from_slice(data);
        }
        Operation::Length(length) => bytes.resize(*length, 0),
        Operation::Sync => (),
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a small disk")
}

impl Backend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.lock();
        let from = place(offset);
        let found = inner.live.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.act(Operation::Length(place(length)))
    }

    fn sync_data(&self) -> io::Result<()> {
        // A real sync takes long, and everybody else runs meanwhile.
        (0..20).for_each(|_| std::thread::yield_now());
        self.act(Operation::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.act(Operation::Write(place(offset), data.to_vec()))
    }
}
