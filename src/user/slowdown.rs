//! Slows guessing down: each failed log-in makes the next one wait longer, never for good.
//!
//! Two counters. One for each pair of account and source address, strict; one for each account over all sources,
//! loose, against guessing from many addresses. A source from which the account was opened before is not held back
//! by the loose one, so an attacker elsewhere cannot keep the owner out (THREATS section 4, row 40).
//! Pure in `now`. Memory is bounded; at the bound the oldest entry is forgotten, and filling the map costs an attacker
//! one password hash an entry.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hash};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::protocol::time::UnixSeconds;
use crate::user::password::account_key;

/// How guessing is slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowdownSettings {
    /// Failures of one account from one source that cost nothing: people mistype.
    pub free_failures: u32,
    /// The first wait; each further failure doubles it.
    pub first_delay: Duration,
    /// The longest wait for one account and source.
    pub delay_max: Duration,
    /// Failures of one account from anywhere that cost nothing (SP 800-63B-4 section 3.2.2: at most 100).
    pub account_free_failures: u32,
    /// The longest wait for one account from anywhere.
    pub account_delay_max: Duration,
    /// A counter halves each time this long has passed without a failure.
    pub half_life: Duration,
    /// Most entries of each kind.
    pub entries_max: usize,
}

impl Default for SlowdownSettings {
    fn default() -> Self {
        Self {
            free_failures: 5,
            first_delay: Duration::from_secs(1),
            delay_max: Duration::from_secs(15 * 60),
            account_free_failures: 100,
            account_delay_max: Duration::from_secs(60),
            half_life: Duration::from_secs(15 * 60),
            entries_max: 50_000,
        }
    }
}

/// How long a source stays known after the account was opened from it.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Counts failed log-ins.
#[derive(Debug)]
pub struct Slowdown {
    settings: SlowdownSettings,
    /// Keyed, so that nobody can aim at a collision.
    hasher: RandomState,
    counters: Mutex<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    pairs: Recent<(u64, Source), Failures>,
    accounts: Recent<u64, Failures>,
    known: Recent<(u64, Source), UnixSeconds>,
}

/// An address as far as one subscriber can choose it: all of IPv4, the first 64 bits of IPv6.
type Source = u64;

impl Slowdown {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new(settings: SlowdownSettings) -> Self {
        Self { settings, hasher: RandomState::new(), counters: Mutex::default() }
    }

    /// Whether a password may be tried now. Ask before hashing; what is refused here is no failure.
    ///
    /// # Errors
    /// How long to wait, at least a second: `Retry-After`.
    pub fn check(&self, name: &str, source: IpAddr, now: UnixSeconds) -> Result<(), Duration> {
        let (account, source) = self.key(name, source);
        let counters = self.lock();
        let settings = &self.settings;
        let pair = counters.pairs.get(&(account, source)).map_or(Duration::ZERO, |failures| {
            failures.wait(settings.free_failures, settings.delay_max, settings, now)
        });
        let known = counters.known.get(&(account, source)).is_some_and(|until| !until.has_passed(now));
        let anywhere = counters.accounts.get(&account).filter(|_| !known).map_or(Duration::ZERO, |failures| {
            failures.wait(settings.account_free_failures, settings.account_delay_max, settings, now)
        });
        match pair.max(anywhere) {
            Duration::ZERO => Ok(()),
            wait => Err(wait.max(Duration::from_secs(1))),
        }
    }

    /// A wrong password, an unknown or a disabled user: all count alike, so none shows.
    pub fn failed(&self, name: &str, source: IpAddr, now: UnixSeconds) {
        let (account, source) = self.key(name, source);
        let mut counters = self.lock();
        let (half_life, entries_max) = (self.settings.half_life, self.settings.entries_max);
        let pair = counters.pairs.get(&(account, source)).copied().unwrap_or_default().and_one(half_life, now);
        counters.pairs.insert((account, source), pair, entries_max);
        let anywhere = counters.accounts.get(&account).copied().unwrap_or_default().and_one(half_life, now);
        counters.accounts.insert(account, anywhere, entries_max);
    }

    /// The right password: this source starts anew. The account's counter stays, for it counts the others too.
    pub fn succeeded(&self, name: &str, source: IpAddr, now: UnixSeconds) {
        let (account, source) = self.key(name, source);
        let mut counters = self.lock();
        counters.pairs.remove(&(account, source));
        counters.known.insert((account, source), now.after(KNOWN_FOR), self.settings.entries_max);
    }

    /// How many entries are held, of all kinds.
    #[must_use]
    pub fn entries(&self) -> usize {
        let counters = self.lock();
        counters.pairs.len() + counters.accounts.len() + counters.known.len()
    }

    fn key(&self, name: &str, source: IpAddr) -> (u64, Source) {
        let source = match source.to_canonical() {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            // No address of the internet starts with 64 zero bits, so the two kinds never meet.
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                u64::from_be_bytes([a, b, c, d, e, f, g, h])
            }
        };
        (self.hasher.hash_one(account_key(name)), source)
    }

    fn lock(&self) -> MutexGuard<'_, Counters> {
        // A counter that a panic left behind is still a counter.
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Failures that fade.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    last_at: UnixSeconds,
}

impl Failures {
    /// What is left of the counter at `now`.
    fn faded(self, half_life: Duration, now: UnixSeconds) -> u32 {
        let halvings = now.since(self.last_at).as_secs() / half_life.as_secs().max(1);
        u32::try_from(halvings).ok().and_then(|halvings| self.count.checked_shr(halvings)).unwrap_or(0)
    }

    fn and_one(self, half_life: Duration, now: UnixSeconds) -> Self {
        Self { count: self.faded(half_life, now).saturating_add(1), last_at: now }
    }

    fn wait(self, free: u32, delay_max: Duration, settings: &SlowdownSettings, now: UnixSeconds) -> Duration {
        // The clock went back behind the failure: no telling how long ago it was.
        if now < self.last_at {
            return Duration::ZERO;
        }
        let Some(doublings) = self.faded(settings.half_life, now).checked_sub(free.max(1)) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let delay = settings.first_delay.saturating_mul(factor).min(delay_max);
        delay.saturating_sub(now.since(self.last_at))
    }
}

/// A map that forgets what was touched longest ago.
#[derive(Debug)]
struct Recent<K, V> {
    entries: HashMap<K, (V, u64)>,
    order: BTreeMap<u64, K>,
    touches: u64,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), touches: 0 }
    }
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(value, _)| value)
    }

    fn insert(&mut self, key: K, value: V, entries_max: usize) {
        self.touches += 1;
        if let Some((_, before)) = self.entries.insert(key, (value, self.touches)) {
            self.order.remove(&before);
        }
        self.order.insert(self.touches, key);
        while self.entries.len() > entries_max.max(1) {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.entries.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &K) {
        if let Some((_, touched)) = self.entries.remove(key) {
            self.order.remove(&touched);
        }
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}
