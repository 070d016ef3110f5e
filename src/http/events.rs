//! Followers that are held: how many there may be, how all of them are let go, and the stream of events.
//!
//! A follower of the stream has no queue. It keeps the number it has reached, and reads the shared log when the connection
//! has taken what it was handed: memory for each is the connection's, and one event at the most.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::ambient::Clock;
use crate::http::body::Source;
use crate::http::limits::Settings;
use crate::issuer::{Delta, Issuer, RENEW, Reach, Way};
use crate::telemetry::metrics::Metrics;

/// A quiet stream says that it lives this often: proxies close what is silent for a minute.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");
/// Most bytes handed to the connection at a time. A peer that does not take as many in the write timeout is closed.
const CHUNK_BYTES_MAX: usize = 16 * 1024;
/// A document up to this long is copied together with what stands around it; a longer one is shared by all followers.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// Those who wait for revocations, all together.
pub struct Followers {
    places: Arc<Semaphore>,
    /// `None`: nothing ever stops them.
    stop: Option<watch::Receiver<bool>>,
    long_polls: Gauge,
    streams: Gauge,
    in_flight: Gauge,
    refused: Counter,
}

impl Followers {
    /// With the usual bound.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            places: Arc::new(Semaphore::new(Settings::default().followers_max)),
            stop: None,
            long_polls: metrics.feed_followers.handle(Way::LongPoll.name()),
            streams: metrics.feed_followers.handle(Way::Stream.name()),
            in_flight: metrics.traffic("public").held,
            refused: metrics.feed_refused.clone(),
        }
    }

    /// Sets the bound, and what stops all of them.
    pub(super) fn bound(&mut self, followers_max: usize, stop: watch::Receiver<bool>) {
        self.places = Arc::new(Semaphore::new(followers_max.min(Semaphore::MAX_PERMITS)));
        self.stop = Some(stop);
    }

    /// A place, if there is one.
    pub fn hold(&self, way: Way) -> Option<Held> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.refused.inc();
            return None;
        };
        let gauges = match way {
            Way::Stream => (self.streams.clone(), None),
            // A request that waits is one in flight, and no load.
            Way::Poll | Way::LongPoll => (self.long_polls.clone(), Some(self.in_flight.clone())),
        };
        gauges.0.inc();
        gauges.1.as_ref().map(Gauge::inc);
        Some(Held { _place: place, gauges, stop: self.stop.clone() })
    }
}

/// One follower's place.
pub struct Held {
    _place: OwnedSemaphorePermit,
    gauges: (Gauge, Option<Gauge>),
    stop: Option<watch::Receiver<bool>>,
}

impl Held {
    /// Returns when all followers are to go.
    pub async fn stopped(&self) {
        match self.stop.clone() {
            // A sender that is gone has stopped everything.
            Some(mut stop) => drop(stop.wait_for(|stop| *stop).await),
            None => std::future::pending().await,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauges.0.dec();
        self.gauges.1.as_ref().map(Gauge::dec);
    }
}

/// What a follower is told next.
enum Told {
    Delta(Delta),
    Alive,
    End,
}

/// One follower of the stream.
struct Follower {
    issuer: Arc<Issuer>,
    clock: Arc<dyn Clock>,
    held: Held,
    announced: watch::Receiver<u64>,
    number: u64,
    has_more: bool,
    /// When it gets a document though nothing is new, so that what it holds stays valid; monotonic time.
    renew_at: Duration,
}

impl Follower {
    async fn next(&mut self) -> Told {
        let announced = *self.announced.borrow_and_update();
        if self.has_more || announced > self.number || self.clock.monotonic() >= self.renew_at {
            return self.read();
        }
        let number = self.number;
        tokio::select! {
            changed = self.announced.wait_for(|latest| *latest > number) => if changed.is_err() { return Told::End },
            () = self.held.stopped() => return Told::End,
            () = tokio::time::sleep(HEARTBEAT_EVERY) => return Told::Alive,
        }
        self.read()
    }

    fn read(&mut self) -> Told {
        // The next connection is told why, with a status.
        let Ok(delta) = self.issuer.revocations(self.number, Reach::Announced) else { return Told::End };
        if delta.to > self.number {
            self.issuer.note_lag(Way::Stream, self.number);
        }
        self.take(&delta);
        Told::Delta(delta)
    }

    fn take(&mut self, delta: &Delta) {
        (self.number, self.has_more) = (delta.to, delta.more);
        self.renew_at = self.clock.monotonic() + RENEW;
    }
}

type Step = Pin<Box<dyn Future<Output = (Told, Follower)> + Send>>;

/// The events of one follower, as bytes.
pub struct Events {
    chunks: VecDeque<Bytes>,
    /// `None` at the end.
    step: Option<Step>,
}

impl Events {
    /// The stream that begins with `first`.
    #[must_use]
    pub fn new(issuer: Arc<Issuer>, clock: Arc<dyn Clock>, held: Held, first: Delta) -> Self {
        let announced = issuer.announced();
        let mut follower =
            Follower { issuer, clock, held, announced, number: 0, has_more: false, renew_at: Duration::ZERO };
        follower.take(&first);
        Self { chunks: event(&first), step: Some(step(follower)) }
    }
}

fn step(mut follower: Follower) -> Step {
    Box::pin(async move { (follower.next().await, follower) })
}

impl Source for Events {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.next_chunk() {
                return Poll::Ready(Some(bytes));
            }
            let Some(current) = &mut self.step else { return Poll::Ready(None) };
            let Poll::Ready((told, follower)) = current.as_mut().poll(cx) else { return Poll::Pending };
            match told {
                Told::Delta(delta) => self.chunks = event(&delta),
                Told::Alive => self.chunks.push_back(HEARTBEAT),
                Told::End => {
                    self.step = None;
                    continue;
                }
            }
            self.step = Some(step(follower));
        }
    }
}

impl Events {
    fn next_chunk(&mut self) -> Option<Bytes> {
        let first = self.chunks.front_mut()?;
        if first.len() > CHUNK_BYTES_MAX {
            return Some(first.split_to(CHUNK_BYTES_MAX));
        }
        let last = self.chunks.pop_front();
        if self.chunks.is_empty() {
            // A follower that waits holds no room for what it was told.
            self.chunks = VecDeque::new();
        }
        last
    }
}

/// An event as the HTML standard writes it (section 9.2.6): its number, its name, the document on one line.
fn event(delta: &Delta) -> VecDeque<Bytes> {
    let before = format!("id: {}\nevent: revocations\ndata: ", delta.to);
    let document = &delta.document.body;
    if document.len() > COPIED_BYTES_MAX {
        return VecDeque::from([Bytes::from(before), document.clone(), Bytes::from_static(b"\n\n")]);
    }
    let mut whole = before.into_bytes();
    whole.extend_from_slice(document);
    whole.extend_from_slice(b"\n\n");
    VecDeque::from([Bytes::from(whole)])
}
