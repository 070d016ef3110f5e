//! The metrics: one struct of cheap handles, and their text form.
//!
//! Labels are closed sets: routes, statuses, grants, reasons. Never a client, a user or an address.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::protocol::time::UnixSeconds;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the duration buckets in seconds: a signature is tens of microseconds, a password hash tens of
/// milliseconds, an overloaded server seconds.
const DURATION_BUCKETS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// Upper bounds of the lag of followers in seconds: a held request or a stream hears within milliseconds, one that polls
/// within its pause; ten is the bound that is promised, and beyond it are those that were away.
const LAG_BUCKETS: [f64; 12] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// One label, its name and its value, both known at compile time.
type Label = [(&'static str, &'static str); 1];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteStatus {
    route: &'static str,
    status: u16,
}

/// A counter with one label.
#[derive(Clone, Debug)]
pub struct Counted {
    label: &'static str,
    family: Family<Label, Counter>,
    /// Those that are counted at each request: found without a lock.
    frequent: Vec<(&'static str, Counter)>,
}

impl Counted {
    fn register(registry: &mut Registry, name: &'static str, help: &'static str, label: &'static str) -> Self {
        let family = Family::default();
        registry.register(name, help, family.clone());
        Self { label, family, frequent: Vec::new() }
    }

    /// Keeps these values at hand; they are there at zero from the start.
    fn expecting(mut self, values: &[&'static str]) -> Self {
        self.frequent = values.iter().map(|value| (*value, self.handle(value))).collect();
        self
    }

    /// Adds one.
    pub fn inc(&self, value: &'static str) {
        match self.frequent.iter().find(|(own, _)| *own == value) {
            Some((_, counter)) => counter.inc(),
            None => self.family.get_or_create(&[(self.label, value)]).inc(),
        };
    }

    /// The counter of one value: no look-up when it counts, and present at zero from the start.
    #[must_use]
    pub fn handle(&self, value: &'static str) -> Counter {
        self.family.get_or_create_owned(&[(self.label, value)])
    }
}

/// A gauge with one label.
#[derive(Clone, Debug)]
pub struct Gauged {
    label: &'static str,
    family: Family<Label, Gauge>,
}

impl Gauged {
    fn register(registry: &mut Registry, name: &'static str, help: &'static str, label: &'static str) -> Self {
        let family = Family::default();
        registry.register(name, help, family.clone());
        Self { label, family }
    }

    /// The gauge of one value.
    #[must_use]
    pub fn handle(&self, value: &'static str) -> Gauge {
        self.family.get_or_create_owned(&[(self.label, value)])
    }

    /// Sets the gauge of one value; a figure beyond the range is shown as the range's end.
    pub fn set(&self, value: &'static str, figure: u64) {
        let figure = i64::try_from(figure).unwrap_or(i64::MAX);
        self.family.get_or_create(&[(self.label, value)]).set(figure);
    }
}

/// A histogram of times with one label.
#[derive(Clone, Debug)]
pub struct Timed {
    label: &'static str,
    family: Family<Label, Histogram, fn() -> Histogram>,
}

impl Timed {
    fn register(
        registry: &mut Registry,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        buckets: fn() -> Histogram,
    ) -> Self {
        let family = Family::new_with_constructor(buckets);
        registry.register_with_unit(name, help, Unit::Seconds, family.clone());
        Self { label, family }
    }

    /// Notes one time.
    pub fn observe(&self, value: &'static str, took: Duration) {
        self.family.get_or_create(&[(self.label, value)]).observe(took.as_secs_f64());
    }
}

/// What the HTTP server counts on one listener. Clones share the figures.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Open connections.
    pub connections: Gauge,
    /// Requests being answered.
    pub in_flight: Gauge,
    /// Connections refused because there are too many.
    pub connections_refused: Counter,
    /// Connections closed because a deadline passed.
    pub connections_timed_out: Counter,
    /// TLS handshakes that failed, took too long, or were too many.
    pub handshakes_failed: Counter,
    /// Requests answered 503 because too many were in flight.
    pub requests_refused: Counter,
    /// Requests in flight that only wait for news: they take no part in the bound on those in flight.
    pub held: Gauge,
}

/// What is counted for each request of one route.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    route: &'static str,
    ok: Counter,
    by_status: Family<RouteStatus, Counter>,
    duration: Histogram,
}

impl RouteMetrics {
    /// Counts one answered request.
    pub fn observe(&self, status: u16, took: Duration) {
        if status == 200 {
            self.ok.inc();
        } else {
            self.by_status.get_or_create(&RouteStatus { route: self.route, status }).inc();
        }
        self.duration.observe(took.as_secs_f64());
    }
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RouteStatus, Counter>,
    durations: Family<Label, Histogram, fn() -> Histogram>,
    connections: Family<Label, Gauge>,
    in_flight: Family<Label, Gauge>,
    connections_refused: Family<Label, Counter>,
    connections_timed_out: Family<Label, Counter>,
    handshakes_failed: Family<Label, Counter>,
    requests_refused: Family<Label, Counter>,
    held: Family<Label, Gauge>,
    /// Access tokens issued, by grant.
    pub tokens_issued: Counted,
    /// Requests refused, by the reason that is never sent ([`OAuthError::reason`](crate::protocol::error::OAuthError)).
    pub refusals: Counted,
    /// Refresh tokens presented, by verdict: advanced, retry, reused, revoked, ...
    pub refreshes: Counted,
    /// Revocations made lasting, by who asked: a client with a token, or an admin.
    pub revocations: Counted,
    /// Log-ins, by result.
    pub logins: Counted,
    /// Key set requests, by status: what tells how many verifiers have the new key.
    pub jwks_requests: Counted,
    /// Reloads of configuration, keys, clients, users or TLS, by result.
    pub reloads: Counted,
    /// Documents of the revocation feed that were signed.
    pub feed_documents: Counter,
    /// Time from a revocation's publication to its way to a follower, by how it follows.
    pub feed_lag: Timed,
    /// Followers that are being served an event stream or wait for an answer, by which of the two.
    pub feed_followers: Gauged,
    /// Followers refused: too many.
    pub feed_refused: Counter,
    /// Entries of the feed. Set at scrape.
    pub feed_entries: Gauge,
    /// Log lines dropped because the log could not be written fast enough. Set at scrape.
    pub log_lines_dropped: Gauge,
    /// Password checks waiting. Set at scrape.
    pub hash_queue_depth: Gauge,
    /// Password checks refused because the queue was full.
    pub hash_rejected: Counter,
    /// Entries of the state, by kind. Set at scrape.
    pub state_entries: Gauged,
    /// Bytes of the state, by kind. Set at scrape.
    pub state_bytes: Gauged,
    /// Keys, by state. Set at scrape.
    pub keys: Gauged,
    /// Keys that are due and wait for verifiers. Set at scrape.
    pub keys_waiting: Gauge,
    /// Verifiers that fetch the key set or the feed. Set at scrape.
    pub verifiers_known: Gauge,
    /// Verifiers that lack a prepared or an active key. Set at scrape.
    pub verifiers_behind: Gauge,
    /// Verifiers that fell out of the census since the start: there were too many. Set at scrape.
    pub verifiers_dropped: Gauge,
}

impl Metrics {
    /// Registers everything. `started_at` is when the process started.
    #[must_use]
    pub fn new(started_at: UnixSeconds) -> Arc<Self> {
        let mut root = Registry::default();
        // The conventional name, without a prefix of ours.
        let start: Gauge = Gauge::default();
        start.set(i64::try_from(started_at.0).unwrap_or(i64::MAX));
        root.register_with_unit("process_start_time", "Start of the process since the epoch", Unit::Seconds, start);
        let own = root.sub_registry_with_prefix("mintgate");
        own.register("build", "The version that is running", Info::new([("version", env!("CARGO_PKG_VERSION"))]));

        let requests = one(own, "requests", "Requests answered, by route and status");
        let constructor: fn() -> Histogram = || Histogram::new(DURATION_BUCKETS);
        let durations = Family::new_with_constructor(constructor);
        own.register_with_unit(
            "request_duration",
            "Time from the whole header to the whole answer, by route",
            Unit::Seconds,
            durations.clone(),
        );
        let metrics = Self {
            requests,
            durations,
            connections: one(own, "connections", "Open connections, by listener"),
            in_flight: one(own, "requests_in_flight", "Requests being answered, by listener"),
            connections_refused: one(own, "connections_refused", "Connections refused: too many"),
            connections_timed_out: one(own, "connections_timed_out", "Connections closed at a deadline"),
            handshakes_failed: one(own, "tls_handshakes_failed", "TLS handshakes that came to nothing"),
            requests_refused: one(own, "requests_refused", "Requests answered 503: too many in flight"),
            held: one(own, "requests_held", "Requests in flight that wait for news, by listener"),
            feed_documents: one(own, "feed_documents", "Documents of the revocation feed that were signed"),
            feed_lag: Timed::register(own, "feed_lag", "From publication to a follower, by way", "way", || {
                Histogram::new(LAG_BUCKETS)
            }),
            feed_followers: Gauged::register(own, "feed_followers", "Followers that are held, by way", "way"),
            feed_refused: one(own, "feed_refused", "Followers refused: too many"),
            feed_entries: one(own, "feed_entries", "Entries of the revocation feed"),
            tokens_issued: Counted::register(own, "tokens_issued", "Access tokens issued, by grant", "grant")
                .expecting(&["client_credentials", "refresh_token", "login"]),
            refusals: Counted::register(own, "refusals", "Requests refused, by reason", "reason"),
            refreshes: Counted::register(own, "refreshes", "Refresh tokens presented, by verdict", "verdict")
                .expecting(&["advanced"]),
            revocations: Counted::register(own, "revocations", "Revocations, by who asked", "by"),
            logins: Counted::register(own, "logins", "Log-ins, by result", "result"),
            jwks_requests: Counted::register(own, "jwks_requests", "Key set requests, by status", "status")
                .expecting(&["200", "304"]),
            reloads: Counted::register(own, "reloads", "Reloads, by result", "result"),
            log_lines_dropped: one(own, "log_lines_dropped", "Log lines that could not be written"),
            hash_queue_depth: one(own, "hash_queue_depth", "Password checks waiting"),
            hash_rejected: one(own, "hash_rejected", "Password checks refused: the queue was full"),
            state_entries: Gauged::register(own, "state_entries", "Entries of the state, by kind", "kind"),
            state_bytes: Gauged::register(own, "state_bytes", "Memory of the state in bytes, by kind", "kind"),
            keys: Gauged::register(own, "keys", "Keys, by state", "state"),
            keys_waiting: one(own, "keys_waiting", "Keys that are due and wait for verifiers"),
            verifiers_known: one(own, "verifiers_known", "Verifiers that fetch the key set or the feed"),
            verifiers_behind: one(own, "verifiers_behind", "Verifiers that lack a prepared or an active key"),
            verifiers_dropped: one(own, "verifiers_dropped", "Verifiers dropped from the census: too many"),
            registry: Registry::default(),
        };
        // Present at zero from the start: an alert on a metric that is not there yet never fires.
        for result in ["ok", "refused"] {
            let _ = metrics.reloads.handle(result);
        }
        Arc::new(Self { registry: root, ..metrics })
    }

    /// The handles of one route, given as its template: `/token`, never a path as it was asked for.
    #[must_use]
    pub fn route(&self, route: &'static str) -> RouteMetrics {
        RouteMetrics {
            route,
            ok: self.requests.get_or_create_owned(&RouteStatus { route, status: 200 }),
            by_status: self.requests.clone(),
            duration: self.durations.get_or_create_owned(&[("route", route)]),
        }
    }

    /// The handles of one listener: `public` or `admin`.
    #[must_use]
    pub fn traffic(&self, listener: &'static str) -> Traffic {
        let label = [("listener", listener)];
        Traffic {
            connections: self.connections.get_or_create_owned(&label),
            in_flight: self.in_flight.get_or_create_owned(&label),
            connections_refused: self.connections_refused.get_or_create_owned(&label),
            connections_timed_out: self.connections_timed_out.get_or_create_owned(&label),
            handshakes_failed: self.handshakes_failed.get_or_create_owned(&label),
            requests_refused: self.requests_refused.get_or_create_owned(&label),
            held: self.held.get_or_create_owned(&label),
        }
    }

    /// The text that `/metrics` answers, in the OpenMetrics form of [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(8 * 1024);
        // Writing into a String cannot fail; if it ever does, the scraper sees a broken document, not a wrong one.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Registers a metric, or a family of them.
fn one<M>(registry: &mut Registry, name: &'static str, help: &'static str) -> M
where
    M: prometheus_client::registry::Metric + Clone + Default,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}
