//! Accepts connections, serves HTTP/1.1 and HTTP/2 on them within the limits, and stops without losing a request.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
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
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::server::TlsStream;

use crate::ambient::Clock;
use crate::http::ledger::{Entry, Ledger, Opened, Phase, Verdict};
use crate::http::limits::{Settings, connections_within_files};
use crate::http::stream::{Watched, Wire};
use crate::http::tls::Tls;
use crate::http::{Handler, Peer, Request, Response, Transport, respond};
use crate::protocol::error::{OAuthError, RequestReason, UnavailableReason};
use crate::telemetry::metrics::Traffic;

/// Connections the kernel keeps for us until we accept them.
const BACKLOG: u32 = 4096;
/// How long we wait when accepting fails for want of files or memory: trying at once would only spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
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

/// What a refused connection is told, if it may be told anything.
const CROWDED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Binds a listener with a deep backlog, free to bind again at once after a restart.
///
/// # Errors
/// As the system says: address in use, not ours, or a port we may not have.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off because the drain deadline passed.
    pub cut_off: usize,
}

/// One listener and what it needs.
pub struct Server {
    /// Where connections come from.
    pub listener: TcpListener,
    /// TLS, if this listener speaks it.
    pub tls: Option<Arc<Tls>>,
    /// The bounds.
    pub settings: Settings,
    /// For the deadlines; its monotonic time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub traffic: Traffic,
}

impl Server {
    /// Serves until `shutdown` turns true (or its sender is gone), then drains:
    ///
    /// 1. For `drain_grace` connections are still accepted and requests served, each HTTP/1 answer with
    ///    `Connection: close`, each HTTP/2 connection with GOAWAY: whoever is told moves on.
    /// 2. The listener is closed. Connections that stayed silent for the grace are closed.
    /// 3. For `drain_timeout` at most, requests in flight finish.
    pub async fn serve(self, handler: impl Handler, mut shutdown: watch::Receiver<bool>) -> Drained {
        let connections_max = connections_within_files(self.settings.connections_max);
        if connections_max < self.settings.connections_max {
            tracing::warn!(connections_max, "fewer connections than configured: the limit on open files is too low");
        }
        let ledger = Ledger::new(self.clock);
        let shared = Arc::new(Shared {
            handler,
            tls: self.tls,
            http1: http1(&self.settings),
            http2: http2(&self.settings),
            handshakes: Semaphore::new(self.settings.handshakes_max),
            settings: self.settings,
            traffic: self.traffic,
            connections_max,
        });
        let listener = self.listener;
        let mut accepting = Accepting { ledger: Arc::clone(&ledger), shared, next_id: 0 };
        let settings = accepting.shared.settings.clone();
        let judge = ledger.judge_forever(&settings);
        let work = async {
            tokio::select! {
                () = accepting.forever(&listener) => {}
                _ = shutdown.wait_for(|stop| *stop) => {}
            }
            ledger.drain();
            // Elapsing is what ends the grace; accepting never ends by itself.
            let _ = tokio::time::timeout(settings.drain_grace, accepting.forever(&listener)).await;
            accepting.finish(listener);
            let patience = settings.drain_grace + settings.drain_timeout;
            let cut_off = match tokio::time::timeout(patience, ledger.emptied()).await {
                Ok(()) => 0,
                Err(_) => ledger.len(),
            };
            ledger.close_all();
            let _ = tokio::time::timeout(Duration::from_secs(1), ledger.emptied()).await;
            Drained { cut_off }
        };
        tokio::select! {
            drained = work => drained,
            // Never: the judge runs until it is dropped.
            () = judge => Drained { cut_off: 0 },
        }
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

/// What all connections of a listener share.
struct Shared<H> {
    handler: H,
    tls: Option<Arc<Tls>>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    handshakes: Semaphore,
    settings: Settings,
    traffic: Traffic,
    connections_max: usize,
}

/// Lets connections in.
struct Accepting<H> {
    ledger: Arc<Ledger>,
    shared: Arc<Shared<H>>,
    next_id: u64,
}

impl<H: Handler> Accepting<H> {
    async fn forever(&mut self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => self.admit(stream, address),
                Err(error) => {
                    if is_shortage(&error) {
                        tracing::warn!(%error, "cannot accept connections");
                        tokio::time::sleep(ACCEPT_BACKOFF).await;
                    }
                }
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, address: SocketAddr) {
        let traffic = &self.shared.traffic;
        if self.ledger.len() >= self.shared.connections_max {
            traffic.connections_refused.inc();
            if self.shared.tls.is_none() {
                // One attempt that cannot block; the connection is closed either way.
                let _ = stream.try_write(CROWDED);
            }
            return;
        }
        // An answer goes out in one piece and must not wait for more to come; a failure costs only latency.
        let _ = stream.set_nodelay(true);
        let opened = self.ledger.open(self.next_id);
        self.next_id += 1;
        traffic.connections.inc();
        let counted = Counted { shared: Arc::clone(&self.shared), opened };
        tokio::spawn(connection(counted, stream, address));
    }

    /// Takes what the kernel has accepted for us already, then closes the listener: closing it first would reset
    /// connections whose clients believe to be through.
    fn finish(&mut self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..BACKLOG {
            let Ok((stream, address)) = listener.accept() else { break };
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.admit(stream, address);
            }
        }
    }
}

/// Whether accepting failed for want of something that trying again at once will not bring. Everything else
/// concerns the one connection that was about to be accepted.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error)
        .is_some_and(|errno| matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// A connection while it is counted.
struct Counted<H> {
    shared: Arc<Shared<H>>,
    opened: Opened,
}

impl<H> Drop for Counted<H> {
    fn drop(&mut self) {
        self.shared.traffic.connections.dec();
    }
}

/// One connection, from accept to close.
async fn connection<H: Handler>(counted: Counted<H>, stream: TcpStream, address: SocketAddr) {
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
        if work.others >= self.shared.settings.in_flight_max {
            self.shared.traffic.requests_refused.inc();
            let error = OAuthError::Unavailable(UnavailableReason::Overload, Duration::from_secs(1));
            return Box::pin(work.finish(std::future::ready(respond::oauth_error(error, None)), last));
        }
        if !multiplexed && !names_one_host(&request) {
            let error = OAuthError::InvalidRequest(RequestReason::Malformed);
            return Box::pin(work.finish(std::future::ready(respond::oauth_error(error, None)), true));
        }
        Box::pin(work.finish(self.shared.handler.handle(request, self.peer), last))
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

    async fn finish(self, answer: impl Future<Output = Response> + Send, last: bool) -> Result<Response, Infallible> {
        let mut response = answer.await;
        // RFC 9113 section 8.2.2: HTTP/2 has no such field; it says GOAWAY.
        if last || (!self.multiplexed && self.entry.is_draining()) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

impl<H> Drop for Work<H> {
    fn drop(&mut self) {
        self.shared.traffic.in_flight.dec();
        self.entry.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shortage_makes_us_wait() {
        use rustix::io::Errno;
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOBUFS, true),
            (Errno::NOMEM, true),
            (Errno::CONNABORTED, false),
            (Errno::INTR, false),
        ] {
            assert_eq!(is_shortage(&errno.into()), expected, "{errno:?}");
        }
    }
}
