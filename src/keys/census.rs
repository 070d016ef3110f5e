//! The census: who fetches the key set, and which edition of it they hold. So that a key signs when its verifiers know
//! it, as a fact and not as a hope.
//!
//! A verifier is known by the label it gives itself (`?v=NAME`), else by its user agent and its address. Anybody can
//! fetch, so anybody can be counted: memory is bounded, and what a stranger can bring about is a delay that is bounded
//! too (`wait_max`). Pure but for its lock: the time comes in.

pub mod survey;

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::keys::lifecycle::{KeyRecord, KeyState, KeyUse};
use crate::protocol::id::Kid;
use crate::protocol::time::UnixSeconds;

/// Longest label and longest part of a user agent that is kept, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// The bounds of a census, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most verifiers remembered. One more, and the one that was not seen for longest falls out; those without a label
    /// before those with one.
    pub verifiers_max: usize,
    /// A verifier that was not seen for this long is forgotten.
    pub forget_after: Duration,
    /// The longest time that a key which is due waits for labelled verifiers that lack it; zero: it does not wait.
    pub wait_max: Duration,
}

impl Default for Settings {
    /// A thousand verifiers, forgotten after a day; a key waits a day for them.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self { verifiers_max: 1_000, forget_after: DAY, wait_max: DAY }
    }
}

/// One edition of the published key set: what a verifier that fetched it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The strong entity tag it was served with, quotes included.
    pub etag: String,
    /// The keys in it.
    pub kids: Vec<Kid>,
}

impl Edition {
    fn has(&self, kid: &Kid) -> bool {
        self.kids.contains(kid)
    }
}

/// Who fetches, as the request says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who<'a> {
    /// By the label in the query.
    Label(&'a str),
    /// By user agent, cut to [`NAME_BYTES_MAX`] bytes, and address.
    Stranger {
        /// The bytes of the header; empty without one.
        agent: &'a [u8],
        /// The peer's address: a proxy's, if there is one.
        address: IpAddr,
    },
}

impl<'a> Who<'a> {
    /// Takes the label out of a query if there is a good one: `v=` and 1 to [`NAME_BYTES_MAX`] letters, digits, `.`,
    /// `_`, `-`, `:`. Whatever else stands there, the request is answered all the same.
    #[must_use]
    pub fn of(query: Option<&'a str>, agent: Option<&'a [u8]>, address: IpAddr) -> Self {
        let label = query.and_then(|query| query.split('&').find_map(|piece| piece.strip_prefix("v=")));
        match label {
            Some(label) if is_label(label) => Self::Label(label),
            _ => {
                let agent = agent.unwrap_or_default().trim_ascii();
                Self::Stranger { agent: agent.get(..NAME_BYTES_MAX).unwrap_or(agent), address }
            }
        }
    }
}

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// What was fetched.
#[derive(Clone, Copy, Debug)]
pub enum Fetched<'a> {
    /// The key set: served whole, or confirmed by 304. This edition is held from now on.
    KeySet(&'a Arc<Edition>),
    /// Something about the key set that does not say which edition is held: HEAD, `If-None-Match: *`.
    Header,
    /// The revocation feed: the verifier is alive.
    Feed,
}

/// Counts verifiers. Cost of a fetch: one look-up under a short lock; nothing is allocated for a verifier that is known.
#[derive(Debug, Default)]
pub struct Census {
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    settings: Settings,
    /// By the hash of who it is: a look-up needs no owned name.
    known: HashMap<u64, Verifier>,
    /// The same verifiers, those seen longest ago first.
    labelled: BTreeSet<(UnixSeconds, u64)>,
    strangers: BTreeSet<(UnixSeconds, u64)>,
    /// Verifiers that fell out because there were too many.
    dropped: u64,
}

#[derive(Debug)]
struct Verifier {
    name: Name,
    seen_at: UnixSeconds,
    held: Option<Held>,
    key_set_fetches: u64,
    feed_fetches: u64,
}

#[derive(Debug)]
struct Held {
    edition: Arc<Edition>,
    /// When it was first fetched by this verifier.
    since: UnixSeconds,
}

#[derive(Debug, PartialEq, Eq)]
enum Name {
    Label(Box<str>),
    Stranger { agent: Box<[u8]>, address: IpAddr },
}

impl Name {
    fn is(&self, who: &Who<'_>) -> bool {
        match (self, who) {
            (Self::Label(own), Who::Label(label)) => **own == **label,
            (Self::Stranger { agent: own, address: at }, Who::Stranger { agent, address }) => {
                at == address && **own == **agent
            }
            _ => false,
        }
    }

    fn of(who: &Who<'_>) -> Self {
        match who {
            Who::Label(label) => Self::Label((*label).into()),
            Who::Stranger { agent, address } => Self::Stranger { agent: (*agent).into(), address: *address },
        }
    }

    fn is_label(&self) -> bool {
        matches!(self, Self::Label(_))
    }

    /// For people: what could steer a terminal or forge a line of log is written `?`.
    fn shown(&self) -> String {
        match self {
            Self::Label(label) => label.to_string(),
            Self::Stranger { agent, address } if agent.is_empty() => format!("(no user agent) at {address}"),
            Self::Stranger { agent, address } => {
                let plain = |byte: &u8| if (0x20..=0x7e).contains(byte) { char::from(*byte) } else { '?' };
                format!("{} at {address}", agent.iter().map(plain).collect::<String>())
            }
        }
    }
}

/// The verifiers that lack a prepared key, and how long it may wait for them: a fact for the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// For each key that somebody lacks.
    pub behind: Vec<Behind>,
    /// See [`Settings::wait_max`].
    pub wait_max: Duration,
}

/// Who lacks one key. Names in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The prepared key.
    pub kid: Kid,
    /// By their labels. The key waits for these.
    pub labelled: Vec<String>,
    /// Those without a label that fetched the key set more than once. Nothing waits for them.
    pub strangers: Vec<String>,
}

/// A stranger that fetched once is a person with a browser as likely as a verifier.
const STRANGER_FETCHES_MIN: u64 = 2;

impl Census {
    /// An empty census.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let census = Self::default();
        census.configure(settings);
        census
    }

    /// Takes other bounds. If there are more verifiers than they allow, the oldest fall out.
    pub fn configure(&self, settings: Settings) {
        let mut table = self.lock();
        table.settings = settings;
        table.make_room(0);
    }

    /// Notes a fetch.
    pub fn note(&self, who: &Who<'_>, fetched: Fetched<'_>, now: UnixSeconds) {
        let key = self.hasher.hash_one(who);
        self.lock().note(key, who, fetched, now);
    }

    /// Who lacks which of the prepared keys among `records`.
    #[must_use]
    pub fn lag(&self, records: &[KeyRecord], now: UnixSeconds) -> Lag {
        let prepared = || records.iter().filter(|one| one.state == KeyState::Prepared && one.usage != KeyUse::Seal);
        let mut table = self.lock();
        table.forget(now);
        let mut lag = Lag { behind: Vec::new(), wait_max: table.settings.wait_max };
        for record in prepared() {
            let lacks = |one: &&Verifier| one.held.as_ref().is_some_and(|held| !held.edition.has(&record.id));
            let (mut labelled, mut strangers) = (Vec::new(), Vec::new());
            for verifier in table.known.values().filter(lacks) {
                match &verifier.name {
                    Name::Label(label) => labelled.push(label.to_string()),
                    stranger if verifier.key_set_fetches >= STRANGER_FETCHES_MIN => strangers.push(stranger.shown()),
                    Name::Stranger { .. } => {}
                }
            }
            if !labelled.is_empty() || !strangers.is_empty() {
                labelled.sort_unstable();
                strangers.sort_unstable();
                lag.behind.push(Behind { kid: record.id.clone(), labelled, strangers });
            }
        }
        lag
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn note(&mut self, key: u64, who: &Who<'_>, fetched: Fetched<'_>, now: UnixSeconds) {
        let Some(verifier) = self.known.get_mut(&key).filter(|known| known.name.is(who)) else {
            return self.meet(key, who, fetched, now);
        };
        verifier.take(fetched, now);
        // Once a second at most; a clock that went back makes nobody older.
        if verifier.seen_at < now {
            let before = std::mem::replace(&mut verifier.seen_at, now);
            let order = if verifier.name.is_label() { &mut self.labelled } else { &mut self.strangers };
            order.remove(&(before, key));
            order.insert((now, key));
        }
    }

    fn meet(&mut self, key: u64, who: &Who<'_>, fetched: Fetched<'_>, now: UnixSeconds) {
        // Two names with one keyed 64-bit hash: the newcomer takes the place.
        self.remove(key);
        self.forget(now);
        self.make_room(1);
        let mut verifier =
            Verifier { name: Name::of(who), seen_at: now, held: None, key_set_fetches: 0, feed_fetches: 0 };
        verifier.take(fetched, now);
        let order = if verifier.name.is_label() { &mut self.labelled } else { &mut self.strangers };
        order.insert((now, key));
        self.known.insert(key, verifier);
    }

    fn remove(&mut self, key: u64) {
        if let Some(gone) = self.known.remove(&key) {
            self.labelled.remove(&(gone.seen_at, key));
            self.strangers.remove(&(gone.seen_at, key));
        }
    }

    /// Drops whoever was not seen for `forget_after`.
    fn forget(&mut self, now: UnixSeconds) {
        for order in [&mut self.labelled, &mut self.strangers] {
            while let Some((seen_at, key)) = order.first().copied()
                && seen_at.after(self.settings.forget_after).has_passed(now)
            {
                order.remove(&(seen_at, key));
                self.known.remove(&key);
            }
        }
    }

    /// Drops whoever was seen longest ago, strangers first, until `more` fit in.
    fn make_room(&mut self, more: usize) {
        while !self.known.is_empty() && self.known.len() + more > self.settings.verifiers_max {
            let Some((_, key)) = self.strangers.pop_first().or_else(|| self.labelled.pop_first()) else { return };
            self.known.remove(&key);
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

impl Verifier {
    fn take(&mut self, fetched: Fetched<'_>, now: UnixSeconds) {
        let count = if matches!(fetched, Fetched::Feed) { &mut self.feed_fetches } else { &mut self.key_set_fetches };
        *count = count.saturating_add(1);
        let Fetched::KeySet(edition) = fetched else { return };
        let same = |held: &Held| Arc::ptr_eq(&held.edition, edition) || held.edition.etag == edition.etag;
        if !self.held.as_ref().is_some_and(same) {
            self.held = Some(Held { edition: Arc::clone(edition), since: now });
        }
    }
}
