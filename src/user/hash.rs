//! The password hash pool: a few threads of their own at the lowest priority, so that a flood of log-ins cannot delay
//! a token. Bounded in memory (threads times [`Cost::MAX`] at most) and in waiting.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::ambient::entropy::draw;
use crate::ambient::{Clock, Entropy, EntropyError};
use crate::user::password::PASSWORD_BYTES_MAX;
use crate::user::phc::{Cost, Memory, Phc};
use crate::user::stored::Stored;

/// A thread without work gives its memory back after this long.
const IDLE_RELEASE: Duration = Duration::from_secs(30);
/// The weakest claim on the processor a thread may have without asking for another scheduling class.
const LOWEST_PRIORITY: i32 = 19;

/// How the pool is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashSettings {
    /// Threads, at least one.
    pub threads: usize,
    /// Most jobs waiting; one more is answered `Busy` at once.
    pub queue_max: usize,
    /// Longest a job waits for its turn.
    pub wait_max: Duration,
    /// The cost of the comparison made for an unknown user, and of new hashes.
    pub cost: Cost,
}

impl Default for HashSettings {
    fn default() -> Self {
        Self { threads: 1, queue_max: 64, wait_max: Duration::from_secs(5), cost: Cost::DEFAULT }
    }
}

/// Why a password was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The queue is full, or the job waited too long. Answer 503 with this `Retry-After`.
    #[error("the password hash queue is full")]
    Busy {
        /// How long the queue needs, at least a second.
        retry_after: Duration,
    },
    /// The system gave no memory or no thread.
    #[error("no password can be hashed now")]
    Failed,
}

/// What the pool did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashFigures {
    /// Passwords compared, for known and unknown users alike.
    pub verified: u64,
    /// Work done while comparing, in the units of [`Stored::work`].
    pub work: u64,
    /// Jobs refused because the queue was full or the wait too long.
    pub refused: u64,
    /// Jobs left out because nobody waited for them any more.
    pub skipped: u64,
    /// Jobs waiting now.
    pub waiting: usize,
    /// Memory held now, in KiB, over all threads.
    pub held_kib: u64,
}

struct Job {
    password: Zeroizing<String>,
    phc: Option<Arc<str>>,
    queued_at: Duration,
    reply: oneshot::Sender<Result<bool, HashError>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

#[derive(Default)]
struct Counters {
    verified: AtomicU64,
    work: AtomicU64,
    refused: AtomicU64,
    skipped: AtomicU64,
    held_kib: AtomicU64,
    /// A moving average of one comparison, in microseconds.
    typical_micros: AtomicU64,
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    settings: HashSettings,
    /// What an unknown user's password is compared with: of the algorithm and cost of the last known user's.
    dummy: ArcSwap<Stored>,
    /// What dummies are made of; drawn once, told to nobody.
    random: [u8; 64],
    clock: Arc<dyn Clock>,
    counters: Counters,
}

/// The pool. Dropping it ends its threads after the comparison they are at.
pub struct HashPool {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for HashPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashPool").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl Drop for HashPool {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.arrived.notify_all();
    }
}

/// Why the pool did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No randomness for the dummy.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// No thread.
    #[error("cannot start a password hash thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl HashPool {
    /// Starts the threads. Memory is taken at the first comparison, not here.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(settings: HashSettings, clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> Result<Self, StartError> {
        let dummy = Stored::Argon2(Phc::dummy(settings.cost, entropy)?);
        let random = draw(entropy)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            settings,
            dummy: ArcSwap::from_pointee(dummy),
            random,
            clock,
            counters: Counters::default(),
        });
        // Made first: if a thread cannot start, dropping the pool ends those that did.
        let pool = Self { shared: Arc::clone(&shared) };
        for number in 0..settings.threads.max(1) {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("password-{number}")).spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// Compares a password with a stored hash; `None`, for an unknown user, costs the same as a default one and is
    /// never right. The dropped future of a caller who has gone away takes its job with it.
    ///
    /// # Errors
    /// `Busy` at once when the queue is full, or when the turn did not come within `wait_max`.
    pub async fn verify(&self, password: Zeroizing<String>, phc: Option<Arc<str>>) -> Result<bool, HashError> {
        // Too long for any stored password, whoever the user is: nothing to hide, nothing to hash.
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let answer = self.submit(password, phc)?;
        answer.await.unwrap_or(Err(HashError::Failed))
    }

    /// Says how the directory stores passwords, by one of them: an unknown user costs the same from the first log-in on,
    /// and not only after the first known one. What cannot be read changes nothing.
    pub fn expect(&self, stored: &str) {
        if let Ok(stored) = Stored::parse(stored) {
            self.shared.expect_like(&stored);
        }
    }

    /// What the pool did so far.
    #[must_use]
    pub fn figures(&self) -> HashFigures {
        let counters = &self.shared.counters;
        HashFigures {
            verified: counters.verified.load(Ordering::Relaxed),
            work: counters.work.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            skipped: counters.skipped.load(Ordering::Relaxed),
            waiting: self.shared.lock().jobs.len(),
            held_kib: counters.held_kib.load(Ordering::Relaxed),
        }
    }

    fn submit(
        &self,
        password: Zeroizing<String>,
        phc: Option<Arc<str>>,
    ) -> Result<oneshot::Receiver<Result<bool, HashError>>, HashError> {
        let (reply, answer) = oneshot::channel();
        let queued_at = self.shared.clock.monotonic();
        let mut queue = self.shared.lock();
        if queue.jobs.len() >= self.shared.settings.queue_max {
            // Jobs nobody waits for any more must not keep the living out.
            let before = queue.jobs.len();
            queue.jobs.retain(|job| !job.reply.is_closed());
            let skipped = before - queue.jobs.len();
            self.shared.counters.skipped.fetch_add(skipped as u64, Ordering::Relaxed);
        }
        if queue.jobs.len() >= self.shared.settings.queue_max {
            let waiting = queue.jobs.len();
            drop(queue);
            return Err(self.shared.refuse(waiting));
        }
        queue.jobs.push_back(Job { password, phc, queued_at, reply });
        drop(queue);
        self.shared.arrived.notify_one();
        Ok(answer)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole between any two statements, so a panic elsewhere leaves nothing half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, waiting: usize) -> HashError {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        let threads = self.settings.threads.max(1) as u64;
        let each = self.counters.typical_micros.load(Ordering::Relaxed);
        let micros = each.saturating_mul(waiting as u64 + 1) / threads;
        // Whole seconds, rounded up: Retry-After knows nothing finer (RFC 9110 section 10.2.3).
        HashError::Busy { retry_after: Duration::from_secs(micros.div_ceil(1_000_000).max(1)) }
    }

    /// One thread's life.
    fn work(&self) {
        // On Linux the priority of a thread id is that thread's alone. If the system refuses, it is only less polite.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), LOWEST_PRIORITY);
        let mut memory = Memory::default();
        while let Some(job) = self.next(&mut memory) {
            if job.reply.is_closed() {
                self.counters.skipped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let started = self.clock.monotonic();
            if started.saturating_sub(job.queued_at) > self.settings.wait_max {
                let waiting = self.lock().jobs.len();
                // An answer nobody takes is no loss.
                let _ = job.reply.send(Err(self.refuse(waiting)));
                continue;
            }
            let held = memory.held_kib();
            let answer = self.compare(&job, &mut memory);
            self.counters.held_kib.fetch_add((memory.held_kib() - held) as u64, Ordering::Relaxed);
            self.note_duration(self.clock.monotonic().saturating_sub(started));
            let _ = job.reply.send(answer);
        }
    }

    /// The same path for every user: one stored form, one derivation, one comparison. A stored form that cannot be
    /// read, or that is missing, is never right, and costs the same all the same.
    fn compare(&self, job: &Job, memory: &mut Memory) -> Result<bool, HashError> {
        let dummy = self.dummy.load();
        let known = job.phc.as_deref().and_then(|text| Stored::parse(text).ok());
        let stored = known.as_ref().unwrap_or(&dummy);
        let right = stored.verify(&job.password, memory).map_err(|_| HashError::Failed)?;
        self.counters.verified.fetch_add(1, Ordering::Relaxed);
        self.counters.work.fetch_add(stored.work(), Ordering::Relaxed);
        self.expect_like(stored);
        Ok(right && known.is_some())
    }

    /// From now on an unknown user costs what `stored` costs.
    fn expect_like(&self, stored: &Stored) {
        if !self.dummy.load().costs_like(stored) {
            self.dummy.store(Arc::new(stored.dummy_like(&self.random)));
        }
    }

    /// Waits for a job; `None` when the pool has ended.
    fn next(&self, memory: &mut Memory) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            let (woken, waited) =
                self.arrived.wait_timeout(queue, IDLE_RELEASE).unwrap_or_else(PoisonError::into_inner);
            queue = woken;
            if waited.timed_out() && queue.jobs.is_empty() {
                self.counters.held_kib.fetch_sub(memory.held_kib() as u64, Ordering::Relaxed);
                memory.release();
            }
        }
    }

    fn note_duration(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let before = self.counters.typical_micros.load(Ordering::Relaxed);
        let after = if before == 0 { micros } else { before - before / 8 + micros / 8 };
        self.counters.typical_micros.store(after, Ordering::Relaxed);
    }
}
