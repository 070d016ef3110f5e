//! The admin listener: probes and metrics for everybody who reaches it, orders for whoever holds the admin token.

use std::future::Future;
use std::sync::Arc;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use ring::digest;
use serde_json::json;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::http::extract::{MediaType, media_type, read_body};
use crate::http::limits::BodyLimits;
use crate::http::{Handler, Peer, Request, Response, respond};
use crate::issuer::{Issuer, Order};
use crate::keys::KeyState;
use crate::telemetry::metrics::{CONTENT_TYPE as METRICS_TYPE, Metrics};

/// The admin listener.
pub struct Admin {
    shared: Arc<Shared>,
}

struct Shared {
    issuer: Arc<Issuer>,
    metrics: Arc<Metrics>,
    limits: BodyLimits,
    token_sha256: Vec<u8>,
    lines_dropped: Box<dyn Fn() -> u64 + Send + Sync>,
    stopping: tokio::sync::watch::Receiver<bool>,
}

impl Admin {
    /// Serves `issuer`'s probes, figures and orders. `token` is what an order must present as a bearer token;
    /// `stopping` turns readiness red before the listeners close.
    #[must_use]
    pub fn new(
        issuer: Arc<Issuer>,
        metrics: Arc<Metrics>,
        limits: BodyLimits,
        token: &Zeroizing<String>,
        lines_dropped: Box<dyn Fn() -> u64 + Send + Sync>,
        stopping: tokio::sync::watch::Receiver<bool>,
    ) -> Self {
        let token_sha256 = digest::digest(&digest::SHA256, token.as_bytes()).as_ref().to_vec();
        Self { shared: Arc::new(Shared { issuer, metrics, limits, token_sha256, lines_dropped, stopping }) }
    }
}

impl Handler for Admin {
    fn handle(&self, request: Request, _peer: Peer) -> impl Future<Output = Response> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move { shared.answer(request).await }
    }
}

impl Shared {
    async fn answer(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let reads = request.method() == Method::GET || request.method() == Method::HEAD;
        match path.as_str() {
            "/health/live"
            | "/health/ready"
            | "/health/ready/issue"
            | "/health/ready/refresh"
            | "/health/ready/verify"
            | "/metrics"
            | "/admin/state"
            | "/admin/census"
                if !reads =>
            {
                respond::method_not_allowed("GET, HEAD")
            }
            "/health/live" => respond::json(StatusCode::OK, &json!({"live": "ok"})),
            "/health/ready" | "/health/ready/issue" | "/health/ready/refresh" | "/health/ready/verify" => {
                self.ready(path.trim_start_matches("/health/ready").trim_start_matches('/'))
            }
            "/metrics" => self.figures(),
            "/admin/state" => self.state(&request),
            "/admin/census" => self.census(&request),
            "/admin/revoke" if request.method() != Method::POST => respond::method_not_allowed("POST"),
            "/admin/revoke" => self.revoke(request).await,
            _ => respond::empty(StatusCode::NOT_FOUND),
        }
    }

    /// Readiness of one part, or of all.
    fn ready(&self, part: &str) -> Response {
        let readiness = self.issuer.readiness();
        let stopping = *self.stopping.borrow();
        let green = match part {
            "issue" => readiness.issue == "ok",
            "refresh" => readiness.refresh == "ok",
            "verify" => readiness.verify == "ok",
            _ => readiness.is_ready(),
        };
        let status = if green && !stopping { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let (issue, refresh, verify) = (readiness.issue, readiness.refresh, readiness.verify);
        respond::json(status, &json!({"issue": issue, "refresh": refresh, "verify": verify, "stopping": stopping}))
    }

    /// The gauges are set here: nothing is counted twice, and nothing is counted when nobody looks.
    fn figures(&self) -> Response {
        let figures = self.issuer.store().figures();
        let state = figures.state;
        for (kind, entries) in
            [("family", state.families), ("jti", state.jtis), ("spent", state.spent), ("epoch", state.epochs)]
        {
            self.metrics.state_entries.set(kind, entries as u64);
        }
        self.metrics.state_bytes.set("all", state.bytes as u64);
        let keys = self.issuer.keys();
        for key_state in KeyState::ALL {
            let count = keys.records().iter().filter(|record| record.state == key_state).count();
            self.metrics.keys.set(key_state.name(), count as u64);
        }
        self.metrics.feed_entries.set(i64::try_from(self.issuer.feed_len()).unwrap_or(i64::MAX));
        let survey = self.issuer.survey();
        let gauge = |figure: usize| i64::try_from(figure).unwrap_or(i64::MAX);
        self.metrics.verifiers_known.set(gauge(survey.verifiers.iter().filter(|one| one.counts).count()));
        self.metrics.verifiers_behind.set(gauge(survey.behind()));
        self.metrics.verifiers_dropped.set(i64::try_from(survey.dropped).unwrap_or(i64::MAX));
        self.metrics.keys_waiting.set(gauge(self.issuer.keys_waiting()));
        let hashing = self.issuer.passwords().figures();
        self.metrics.hash_queue_depth.set(i64::try_from(hashing.waiting).unwrap_or(i64::MAX));
        self.metrics.log_lines_dropped.set(i64::try_from((self.lines_dropped)()).unwrap_or(i64::MAX));
        let response = respond::text(StatusCode::OK, self.metrics.encode());
        respond::with(response, CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE))
    }

    fn state(&self, request: &Request) -> Response {
        if !self.may_order(request) {
            return unauthorized();
        }
        let figures = self.issuer.store().figures();
        let state = figures.state;
        respond::json(
            StatusCode::OK,
            &json!({
                "families": state.families, "jtis": state.jtis, "spent": state.spent, "epochs": state.epochs,
                "entries_max": figures.entries_max, "buckets": state.buckets, "bytes": state.bytes,
                "next_expiry": state.next_expiry, "log_bytes": figures.log_bytes,
            }),
        )
    }

    /// `GET /admin/census`: who has fetched which key set.
    fn census(&self, request: &Request) -> Response {
        if !self.may_order(request) {
            return unauthorized();
        }
        respond::json(StatusCode::OK, &self.issuer.survey())
    }

    /// `POST /admin/revoke` with an [`Order`] as JSON; `?dry_run` only says what it would end.
    async fn revoke(&self, request: Request) -> Response {
        if !self.may_order(&request) {
            return unauthorized();
        }
        // A page in a browser can send a form across origins, but not JSON.
        if media_type(request.headers()) != Ok(MediaType::Json) {
            return respond::json(StatusCode::UNSUPPORTED_MEDIA_TYPE, &json!({"error": "send JSON"}));
        }
        let dry_run = request.uri().query() == Some("dry_run");
        let (head, body) = request.into_parts();
        let Ok(body) = read_body(&head.headers, body, &self.limits).await else {
            return respond::json(StatusCode::BAD_REQUEST, &json!({"error": "the body did not arrive whole"}));
        };
        let Ok(order) = serde_json::from_slice::<Order>(&body) else {
            return respond::json(StatusCode::BAD_REQUEST, &json!({"error": "not an order"}));
        };
        let outcome = if dry_run { Ok(self.issuer.outlook(&order)) } else { self.issuer.revoke_by_order(&order).await };
        match outcome {
            Ok(Ok(outlook)) => respond::json(StatusCode::OK, &outlook),
            Ok(Err(error)) => respond::json(StatusCode::NOT_FOUND, &json!({"error": error.to_string()})),
            Err(error) => respond::oauth_error(error, None),
        }
    }

    /// Whether the request carries the admin token; compared by digest, in constant time.
    fn may_order(&self, request: &Request) -> bool {
        let presented = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let presented = presented.strip_prefix(b"Bearer ").unwrap_or_default();
        let presented = digest::digest(&digest::SHA256, presented);
        presented.as_ref().ct_eq(&self.token_sha256).into()
    }
}

fn unauthorized() -> Response {
    let response = respond::json(StatusCode::UNAUTHORIZED, &json!({"error": "the admin token is missing or wrong"}));
    respond::with(
        response,
        hyper::header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"mintgate admin\""),
    )
}
