//! The ledger of open connections: what each is waiting for and since when, and the one task that judges them all.
//!
//! One timer for all connections instead of one each: a request costs two atomic stores, an idle connection no
//! timer. hyper's own header timer cannot tell a slow header from a quiet connection; this one can, and it also
//! watches for peers that take no answer, and for HTTP/2 connections without streams.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;

use crate::ambient::Clock;
use crate::http::limits::Settings;

/// How often the ledger is judged: deadlines are met this much late at most.
const JUDGE_EVERY: Duration = Duration::from_millis(250);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Accepted; its first request has not arrived whole.
    Opening = 0,
    /// Kept alive, nothing received since the last answer.
    Idle = 1,
    /// The header of a request has begun (HTTP/1 only).
    Head = 2,
    /// We have closed our half and wait for the peer's.
    Lingering = 3,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verdict {
    /// Nothing.
    Keep = 0,
    /// It ends by the rules of its protocol: what is in flight is answered.
    Retire = 1,
    /// It ends now.
    Close = 2,
}

/// A moment's view of one connection, in milliseconds of the ledger's clock.
#[derive(Clone, Copy, Debug)]
struct View {
    phase: Phase,
    since: u64,
    in_flight: bool,
    multiplexed: bool,
    retired_at: Option<u64>,
    stalled_since: Option<u64>,
}

/// What the judge needs to know of the limits, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Deadlines {
    header: u64,
    idle: u64,
    write: u64,
    linger: u64,
    grace: u64,
}

impl Deadlines {
    fn of(settings: &Settings) -> Self {
        Self {
            header: millis(settings.header_timeout),
            idle: millis(settings.idle_timeout),
            write: millis(settings.write_timeout),
            linger: millis(settings.linger_timeout),
            grace: millis(settings.drain_grace),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The rules. `draining_since`: when the shutdown signal came.
fn judge(view: View, now: u64, deadlines: Deadlines, draining_since: Option<u64>) -> Verdict {
    let past = |since: u64, span: u64| now.saturating_sub(since) >= span;
    if view.stalled_since.is_some_and(|since| past(since, deadlines.write)) {
        return Verdict::Close;
    }
    if let Some(retired_at) = view.retired_at
        && !view.in_flight
        && past(retired_at.max(view.since), deadlines.linger)
    {
        return Verdict::Close;
    }
    // RFC 9113 section 6.8: GOAWAY is safe at any moment, and sooner means fewer streams to wait for.
    if draining_since.is_some() && view.multiplexed && view.retired_at.is_none() {
        return Verdict::Retire;
    }
    if view.in_flight || view.retired_at.is_some() {
        return Verdict::Keep;
    }
    // RFC 9112 section 9.6: a request may be on its way to an idle connection. It gets the whole grace to arrive.
    let graceful = draining_since.is_some_and(|since| past(view.since.max(since), deadlines.grace));
    match view.phase {
        Phase::Opening if graceful || past(view.since, deadlines.header) => Verdict::Close,
        Phase::Head if past(view.since, deadlines.header) => Verdict::Close,
        Phase::Idle if graceful || past(view.since, deadlines.idle) => Verdict::Retire,
        Phase::Lingering if past(view.since, deadlines.linger) => Verdict::Close,
        Phase::Opening | Phase::Head | Phase::Idle | Phase::Lingering => Verdict::Keep,
    }
}

/// Zero stands for "never" in the atomics below; the clock of the ledger starts at one.
fn moment(raw: u64) -> Option<u64> {
    (raw != 0).then_some(raw)
}

/// One connection as its own task and the judge share it.
pub(super) struct Entry {
    ledger: Arc<Ledger>,
    phase: AtomicU8,
    since: AtomicU64,
    in_flight: AtomicU32,
    multiplexed: AtomicBool,
    retired_at: AtomicU64,
    stalled_since: AtomicU64,
    verdict: AtomicU8,
    waker: OnceLock<Waker>,
}

impl Entry {
    /// Moves to `phase`, from now on.
    pub(super) fn enter(&self, phase: Phase) {
        self.since.store(self.ledger.now(), Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Bytes came in: on an idle connection they begin a header. HTTP/2 is not that simple; there the time
    /// without a stream counts.
    pub(super) fn received(&self) {
        if self.phase.load(Ordering::Relaxed) == Phase::Idle as u8
            && self.in_flight.load(Ordering::Relaxed) == 0
            && !self.multiplexed.load(Ordering::Relaxed)
        {
            self.enter(Phase::Head);
        }
    }

    /// A request is complete up to its body.
    pub(super) fn begin(&self, multiplexed: bool) {
        if multiplexed {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.phase.store(Phase::Idle as u8, Ordering::Relaxed);
    }

    /// A request is answered, or given up.
    pub(super) fn end(&self) {
        self.since.store(self.ledger.now(), Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// The peer takes no bytes.
    pub(super) fn stalled(&self) {
        if self.stalled_since.load(Ordering::Relaxed) == 0 {
            self.stalled_since.store(self.ledger.now(), Ordering::Relaxed);
        }
    }

    /// The peer took bytes.
    pub(super) fn flowing(&self) {
        if self.stalled_since.load(Ordering::Relaxed) != 0 {
            self.stalled_since.store(0, Ordering::Relaxed);
        }
    }

    /// The order for this connection's task, once; remembers whom to wake for the next one.
    pub(super) fn take_verdict(&self, waker: &Waker) -> Verdict {
        // The waker of a spawned task is the same at every poll.
        self.waker.get_or_init(|| waker.clone());
        match self.verdict.load(Ordering::Acquire) {
            raw if raw == Verdict::Close as u8 => Verdict::Close,
            raw if raw == Verdict::Retire as u8 && self.retired_at.load(Ordering::Relaxed) == 0 => {
                self.retired_at.store(self.ledger.now(), Ordering::Relaxed);
                Verdict::Retire
            }
            _ => Verdict::Keep,
        }
    }

    /// Whether the server is going away, so that each answer says so.
    pub(super) fn is_draining(&self) -> bool {
        self.ledger.draining_since.load(Ordering::Relaxed) != 0
    }

    fn view(&self) -> View {
        let phase = match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Opening,
            1 => Phase::Idle,
            2 => Phase::Head,
            _ => Phase::Lingering,
        };
        View {
            phase,
            since: self.since.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed) > 0,
            multiplexed: self.multiplexed.load(Ordering::Relaxed),
            retired_at: moment(self.retired_at.load(Ordering::Relaxed)),
            stalled_since: moment(self.stalled_since.load(Ordering::Relaxed)),
        }
    }

    fn order(&self, verdict: Verdict) {
        self.verdict.store(verdict as u8, Ordering::Release);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}

/// A stream of answers while it lasts: its connection is in use, so no idleness ends it; but a peer that leaves what it
/// was handed untaken for the write timeout loses the connection. (HTTP/1 shows that on the socket too; of HTTP/2, where
/// other streams go on, only here.)
pub(super) struct Streaming {
    id: u64,
    entry: Arc<Entry>,
    untaken_since: Arc<AtomicU64>,
}

impl Streaming {
    pub(super) fn open(entry: &Arc<Entry>) -> Self {
        entry.in_flight.fetch_add(1, Ordering::Relaxed);
        let ledger = &entry.ledger;
        let id = ledger.streams_opened.fetch_add(1, Ordering::Relaxed);
        let untaken_since = Arc::new(AtomicU64::new(0));
        ledger.streams().insert(id, (Arc::clone(entry), Arc::clone(&untaken_since)));
        Self { id, entry: Arc::clone(entry), untaken_since }
    }

    /// Bytes were handed over. There is room for them, but when they are taken shows when more is asked for.
    pub(super) fn handed(&self) {
        self.untaken_since.store(self.entry.ledger.now(), Ordering::Relaxed);
    }

    /// More was asked for and there was none: what was handed before has been taken.
    pub(super) fn taken(&self) {
        self.untaken_since.store(0, Ordering::Relaxed);
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.entry.ledger.streams().remove(&self.id);
        self.entry.end();
    }
}

type Streams = HashMap<u64, (Arc<Entry>, Arc<AtomicU64>)>;

/// All connections of one listener.
pub(super) struct Ledger {
    entries: Mutex<HashMap<u64, Arc<Entry>>>,
    streams: Mutex<Streams>,
    streams_opened: AtomicU64,
    clock: Arc<dyn Clock>,
    draining_since: AtomicU64,
    changed: Notify,
}

impl Ledger {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            entries: Mutex::default(),
            streams: Mutex::default(),
            streams_opened: AtomicU64::new(0),
            clock,
            draining_since: AtomicU64::new(0),
            changed: Notify::new(),
        })
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, Streams> {
        // As for the entries.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        millis(self.clock.monotonic()).saturating_add(1)
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Entry>>> {
        // The map is whole after every statement that holds the lock.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection; it leaves when the guard is dropped.
    pub(super) fn open(self: &Arc<Self>, id: u64) -> Opened {
        let entry = Arc::new(Entry {
            ledger: Arc::clone(self),
            phase: AtomicU8::new(Phase::Opening as u8),
            since: AtomicU64::new(self.now()),
            in_flight: AtomicU32::new(0),
            multiplexed: AtomicBool::new(false),
            retired_at: AtomicU64::new(0),
            stalled_since: AtomicU64::new(0),
            verdict: AtomicU8::new(Verdict::Keep as u8),
            waker: OnceLock::new(),
        });
        self.entries().insert(id, Arc::clone(&entry));
        Opened { id, entry }
    }

    /// How many connections are open.
    pub(super) fn len(&self) -> usize {
        self.entries().len()
    }

    /// From now on the server is going away.
    pub(super) fn drain(&self) {
        self.draining_since.store(self.now(), Ordering::Relaxed);
    }

    /// Ends every connection now.
    pub(super) fn close_all(&self) {
        for entry in self.entries().values() {
            entry.order(Verdict::Close);
        }
    }

    /// Returns when no connection is open.
    pub(super) async fn emptied(&self) {
        loop {
            let changed = self.changed.notified();
            if self.entries().is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// Judges all connections, again and again. Cancel to stop.
    pub(super) async fn judge_forever(&self, settings: &Settings) {
        let deadlines = Deadlines::of(settings);
        let mut ticks = tokio::time::interval(JUDGE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = self.now();
            let draining_since = moment(self.draining_since.load(Ordering::Relaxed));
            for entry in self.entries().values() {
                let verdict = judge(entry.view(), now, deadlines, draining_since);
                if verdict != Verdict::Keep {
                    entry.order(verdict);
                }
            }
            for (entry, untaken_since) in self.streams().values() {
                let since = moment(untaken_since.load(Ordering::Relaxed));
                if since.is_some_and(|since| now.saturating_sub(since) >= deadlines.write) {
                    entry.order(Verdict::Close);
                }
            }
        }
    }
}

/// An entry while its connection lives.
pub(super) struct Opened {
    id: u64,
    pub(super) entry: Arc<Entry>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        let ledger = &self.entry.ledger;
        let mut entries = ledger.entries();
        entries.remove(&self.id);
        if entries.is_empty() {
            ledger.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines = Deadlines { header: 10, idle: 75, write: 20, linger: 5, grace: 2 };

    fn view(phase: Phase) -> View {
        View { phase, since: 100, in_flight: false, multiplexed: false, retired_at: None, stalled_since: None }
    }

    #[test]
    fn each_deadline_is_kept_to_the_millisecond() {
        let rows: [(&str, View, u64, Verdict); 8] = [
            ("a header that never begins", view(Phase::Opening), 10, Verdict::Close),
            ("a header that never ends", view(Phase::Head), 10, Verdict::Close),
            ("quiet for too long", view(Phase::Idle), 75, Verdict::Retire),
            ("a peer that does not close", view(Phase::Lingering), 5, Verdict::Close),
            (
                "takes no answer",
                View { stalled_since: Some(100), in_flight: true, ..view(Phase::Idle) },
                20,
                Verdict::Close,
            ),
            ("retired and quiet", View { retired_at: Some(100), ..view(Phase::Idle) }, 5, Verdict::Close),
            ("retired lately", View { retired_at: Some(103), ..view(Phase::Idle) }, 8, Verdict::Close),
            ("multiplexed and quiet", View { multiplexed: true, ..view(Phase::Idle) }, 75, Verdict::Retire),
        ];
        for (name, view, span, expected) in rows {
            assert_eq!(judge(view, 100 + span - 1, DEADLINES, None), Verdict::Keep, "{name}: not yet");
            assert_eq!(judge(view, 100 + span, DEADLINES, None), expected, "{name}");
        }
    }

    #[test]
    fn work_in_flight_is_never_cut_off_by_the_judge() {
        let busy = View { in_flight: true, ..view(Phase::Idle) };
        assert_eq!(judge(busy, 1_000_000, DEADLINES, None), Verdict::Keep);
        assert_eq!(judge(busy, 1_000_000, DEADLINES, Some(200)), Verdict::Keep);
        let retired = View { retired_at: Some(100), ..busy };
        assert_eq!(judge(retired, 1_000_000, DEADLINES, Some(200)), Verdict::Keep);
    }

    #[test]
    fn draining_gives_the_grace_and_no_more() {
        let rows: [(&str, View, u64, Verdict); 6] = [
            ("idle when the signal came", View { since: 190, ..view(Phase::Idle) }, 201, Verdict::Keep),
            ("idle for the whole grace", View { since: 190, ..view(Phase::Idle) }, 202, Verdict::Retire),
            ("answered during the grace", View { since: 201, ..view(Phase::Idle) }, 202, Verdict::Keep),
            ("connected, said nothing", View { since: 195, ..view(Phase::Opening) }, 202, Verdict::Close),
            ("in the middle of a header", View { since: 200, ..view(Phase::Head) }, 204, Verdict::Keep),
            ("HTTP/2", View { multiplexed: true, in_flight: true, ..view(Phase::Idle) }, 200, Verdict::Retire),
        ];
        for (name, view, now, expected) in rows {
            assert_eq!(judge(view, now, DEADLINES, Some(200)), expected, "{name}");
        }
    }
}
