//! One connection: which protocol it speaks, how it is served, how it obeys the ledger.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::Version;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::server::TlsStream;

use crate::http::ledger::{Entry, Opened, Phase, Streaming, Verdict};
use crate::http::limits::{Settings, connections_within_files};
use crate::http::stream::{Watched, Wire};
use crate::http::tls::Tls;
use crate::http::{Handler, Peer, Request, Response, Transport, respond};
use crate::protocol::error::{OAuthError, RequestReason, UnavailableReason};
use crate::telemetry::metrics::Traffic;

/// HTTP/2: streams reset before we looked at them (CVE-2023-44487), and streams we had to reset, per connection.
const RESETS_MAX: usize = 20;
/// HTTP/2: how often a silent peer is pinged, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2: bytes a peer may send ahead, per stream and per connection. Our bodies are small.
const WINDOW_BYTES: u32 = 64 * 1024;
/// hyper's stack buffer has room for this many header fields; asking for another number costs an allocation a request.
const HEADERS_ON_STACK: usize = 100;
/// The least hyper accepts.
const BUFFER_BYTES_MIN: usize = 8 * 1024;

/// What all connections of a listener share.
pub(super) struct Shared<H> {
    handler: H,
    pub(super) tls: Option<Arc<Tls>>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    handshakes: Semaphore,
    settings: Settings,
    pub(super) traffic: Traffic,
    pub(super) connections_max: usize,
}

impl<H> Shared<H> {
    pub(super) fn new(handler: H, tls: Option<Arc<Tls>>, settings: Settings, traffic: Traffic) -> Self {
        Self {
            handler,
            tls,
            http1: http1(&settings),
            http2: http2(&settings),
            handshakes: Semaphore::new(settings.handshakes_max),
            traffic,
            connections_max: connections_within_files(settings.connections_max),
            settings,
        }
    }

    /// Whether `others` requests are as many as may be in flight; those that only wait for news are no load.
    fn is_overloaded(&self, others: usize) -> bool {
        let max = self.settings.in_flight_max;
        // The second figure is read only where the first is not enough to know.
        others >= max && others.saturating_sub(usize::try_from(self.traffic.held.get()).unwrap_or(0)) >= max
    }
}

/// The limits in hyper's words. Each is set: none is left to a default that may change.
fn http1(settings: &Settings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The ledger times headers, from their first byte and from accept; hyper's timer would time idleness too.
        .header_read_timeout(None)
        .keep_alive(true)
        .half_close(false)
        .max_header_size(settings.header_bytes_max)
        .max_buf_size(settings.header_bytes_max.max(BUFFER_BYTES_MIN));
    if settings.headers_max != HEADERS_ON_STACK {
        builder.max_headers(settings.headers_max);
    }
    builder
}

/// As [`http1`], for HTTP/2.
fn http2(settings: &Settings) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams_max)
        .max_header_list_size(u32::try_from(settings.header_bytes_max).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .adaptive_window(false)
        .max_send_buf_size(WINDOW_BYTES as usize)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// A connection while it is counted.
pub(super) struct Counted<H> {
    shared: Arc<Shared<H>>,
    opened: Opened,
}

impl<H> Counted<H> {
    pub(super) fn new(shared: &Arc<Shared<H>>, opened: Opened) -> Self {
        shared.traffic.connections.inc();
        Self { shared: Arc::clone(shared), opened }
    }
}

impl<H> Drop for Counted<H> {
    fn drop(&mut self) {
        self.shared.traffic.connections.dec();
    }
}

/// One connection, from accept to close.
pub(super) async fn connection<H: Handler>(counted: Counted<H>, stream: TcpStream, address: SocketAddr) {
    let shared = Arc::clone(&counted.shared);
    let entry = Arc::clone(&counted.opened.entry);
    let transport = if shared.tls.is_some() { Transport::Tls } else { Transport::Plain };
    let (wire, protocol) = match &shared.tls {
        None => {
            let Some(protocol) = attend(&shared, &entry, pin!(detect(&stream)), |_| {}).await else { return };
            (Wire::Plain(stream), protocol)
        }
        // Boxed: needed once, and large.
        Some(tls) => match Box::pin(handshake(&shared, tls, stream)).await {
            Some(stream) => {
                // RFC 9113 section 3.2: under TLS, HTTP/2 is agreed on by ALPN and not otherwise.
                let agreed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                // The handshake had its own deadline; the header has its own from here.
                entry.enter(Phase::Opening);
                (Wire::Tls(Box::new(stream)), if agreed { Protocol::Http2 } else { Protocol::Http1 })
            }
            None => return,
        },
    };
    let io = TokioIo::new(Watched::new(wire, Arc::clone(&entry)));
    let service =
        Answering { shared: Arc::clone(&shared), entry: Arc::clone(&entry), peer: Peer { address, transport } };
    match protocol {
        Protocol::Http1 => {
            let serving = pin!(shared.http1.serve_connection(io, service));
            attend(&shared, &entry, serving, http1::Connection::graceful_shutdown).await;
        }
        Protocol::Http2 => {
            // Boxed: twice the size, and most connections are not.
            let mut serving = Box::pin(shared.http2.serve_connection(io, service));
            attend(&shared, &entry, serving.as_mut(), http2::Connection::graceful_shutdown).await;
        }
    }
}

/// Polls `work` to its end and obeys the ledger meanwhile; `None` if the ledger ended it.
async fn attend<H, W: Future>(
    shared: &Shared<H>,
    entry: &Entry,
    mut work: Pin<&mut W>,
    retire: impl Fn(Pin<&mut W>),
) -> Option<W::Output> {
    poll_fn(|cx| {
        // Bytes first, orders second: a request that has arrived is not idleness.
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        match entry.take_verdict(cx.waker()) {
            Verdict::Keep => Poll::Pending,
            Verdict::Retire => {
                retire(work.as_mut());
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Verdict::Close => {
                shared.traffic.connections_timed_out.inc();
                Poll::Ready(None)
            }
        }
    })
    .await
}

/// Which protocol a connection speaks.
#[derive(Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

/// RFC 9113 section 3.4: what an HTTP/2 client says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long we wait for more when what has arrived could still become either.
const PREFACE_PAUSE: Duration = Duration::from_millis(10);

/// Looks at the first bytes and leaves them where they are: an idle connection then needs one buffer, not two.
async fn detect(stream: &TcpStream) -> Protocol {
    let mut first = [0; PREFACE.len()];
    loop {
        // An error is met again by whoever reads.
        let count = stream.peek(&mut first).await.unwrap_or(0);
        if count == 0 || first.get(..count) != PREFACE.get(..count) {
            return Protocol::Http1;
        }
        if count == PREFACE.len() {
            return Protocol::Http2;
        }
        // The bytes that are there keep the socket readable, so waiting for more of them has to be by time.
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}

async fn handshake<H>(shared: &Shared<H>, tls: &Tls, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    // Handshakes are the dearest thing a stranger can ask for: bounded in number and in time.
    let Ok(_permit) = shared.handshakes.try_acquire() else {
        shared.traffic.handshakes_failed.inc();
        return None;
    };
    match tokio::time::timeout(shared.settings.handshake_timeout, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(_)) | Err(_) => {
            shared.traffic.handshakes_failed.inc();
            None
        }
    }
}

/// hyper's view of the handler on one connection.
struct Answering<H> {
    shared: Arc<Shared<H>>,
    entry: Arc<Entry>,
    peer: Peer,
}

/// Boxed, so that an idle connection does not hold the room that the largest request needs.
type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl<H: Handler> hyper::service::Service<hyper::Request<Incoming>> for Answering<H> {
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request) -> Answer {
        let multiplexed = request.version() == Version::HTTP_2;
        let work = Work::begin(&self.shared, &self.entry, multiplexed);
        // RFC 9112 section 6.1: after a request with both Transfer-Encoding and Content-Length the connection must
        // be closed. hyper has dropped the length by now, so every chunked request is the last of its connection.
        let last = !multiplexed && request.headers().contains_key(TRANSFER_ENCODING);
        if self.shared.is_overloaded(work.others) {
            self.shared.traffic.requests_refused.inc();
            let error = OAuthError::Unavailable(UnavailableReason::Overload, Duration::from_secs(1));
            return Box::pin(std::future::ready(Ok(work.finish(respond::oauth_error(error, None), last))));
        }
        if !multiplexed && !names_one_host(&request) {
            let error = OAuthError::InvalidRequest(RequestReason::Malformed);
            return Box::pin(std::future::ready(Ok(work.finish(respond::oauth_error(error, None), true))));
        }
        let peer = self.peer;
        // The handler's future is made inside the box, where it stays: one that is handed on is copied whole each time.
        Box::pin(async move {
            let response = work.shared.handler.handle(request, peer).await;
            Ok(work.finish(response, last))
        })
    }
}

/// RFC 9112 section 3.2: exactly one Host, and HTTP/1.1 cannot do without.
fn names_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), None) => true,
        (None, _) => request.version() != Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

/// A request while it is being answered.
struct Work<H> {
    shared: Arc<Shared<H>>,
    entry: Arc<Entry>,
    multiplexed: bool,
    others: usize,
}

impl<H: Handler> Work<H> {
    fn begin(shared: &Arc<Shared<H>>, entry: &Arc<Entry>, multiplexed: bool) -> Self {
        entry.begin(multiplexed);
        let others = usize::try_from(shared.traffic.in_flight.inc()).unwrap_or(0);
        Self { shared: Arc::clone(shared), entry: Arc::clone(entry), multiplexed, others }
    }

    fn finish(self, mut response: Response, last: bool) -> Response {
        response.body_mut().watched(|| Streaming::open(&self.entry));
        // RFC 9113 section 8.2.2: HTTP/2 has no such field; it says GOAWAY.
        if last || (!self.multiplexed && self.entry.is_draining()) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl<H> Drop for Work<H> {
    fn drop(&mut self) {
        self.shared.traffic.in_flight.dec();
        self.entry.end();
    }
}
