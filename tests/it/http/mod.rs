//! The wire, met as a client meets it: by bytes on a socket.

mod extract;
mod h2;
mod respond;
mod server;
mod tls;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use mintgate::ambient::SystemClock;
use mintgate::http::extract::read_body;
use mintgate::http::limits::Settings;
use mintgate::http::respond::{oauth_error, stream, text};
use mintgate::http::server::{Drained, Server, bind};
use mintgate::http::tls::Tls;
use mintgate::http::{Body, Peer, Request, Response, Source};
use mintgate::protocol::error::OAuthError;
use mintgate::telemetry::metrics::Traffic;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Nothing here takes as long; whatever does has hung.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A real server on a port of its own. `GET /wait` answers when the test opens the gate, `GET /panic`
/// never; `GET /endless` with as many bytes as are taken, `GET /quiet` with a stream that says something when the gate
/// is opened, and ends; `POST` answers the length of the body.
pub struct Running {
    pub address: SocketAddr,
    pub traffic: Traffic,
    pub gate: Arc<Semaphore>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Drained>,
}

impl Running {
    pub fn start(settings: Settings) -> Self {
        Self::start_with(settings, None)
    }

    pub fn start_with(settings: Settings, tls: Option<Arc<Tls>>) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let traffic = Traffic::default();
        let gate = Arc::new(Semaphore::new(0));
        let (stop, stopped) = watch::channel(false);
        let body_limits = settings.body;
        let opened = Arc::clone(&gate);
        let handler = move |request: Request, _: Peer| answer(request, body_limits, Arc::clone(&opened));
        let clock = Arc::new(SystemClock::new());
        let server = Server { listener, tls, settings, clock, traffic: traffic.clone() };
        let task = tokio::spawn(server.serve(handler, stopped));
        Self { address, traffic, gate, stop, task }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Gives the shutdown signal.
    pub fn stop(&self) {
        self.stop.send(true).unwrap();
    }

    pub async fn stopped(self) -> Drained {
        tokio::time::timeout(PATIENCE, self.task).await.expect("the server stops").unwrap()
    }
}

async fn answer(request: Request, limits: mintgate::http::limits::BodyLimits, gate: Arc<Semaphore>) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/wait" {
        gate.acquire().await.unwrap().forget();
    }
    if parts.uri.path() == "/panic" {
        panic!("asked to");
    }
    if parts.uri.path() == "/endless" {
        return stream(Box::new(Endless), HeaderValue::from_static("text/plain"));
    }
    if parts.uri.path() == "/quiet" {
        let opened = Box::pin(async move { gate.acquire_owned().await.unwrap().forget() });
        return stream(Box::new(Quiet(Some(opened))), HeaderValue::from_static("text/plain"));
    }
    match read_body(&parts.headers, body, &limits).await {
        Ok(bytes) if bytes.is_empty() => text(StatusCode::OK, "hello"),
        Ok(bytes) => Response::new(Body::new(Bytes::from(bytes.len().to_string()))),
        Err(reason) => oauth_error(OAuthError::InvalidRequest(reason), None),
    }
}

struct Endless;

impl Source for Endless {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Poll::Ready(Some(Bytes::from_static(&[b'x'; 16 * 1024])))
    }
}

struct Quiet(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Source for Quiet {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(opened) = &mut self.0 else { return Poll::Ready(None) };
        std::task::ready!(opened.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(Some(Bytes::from_static(b"at last")))
    }
}

pub const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Sends `bytes` and reads what comes until the server closes.
pub async fn exchange(stream: &mut TcpStream, bytes: &str) -> String {
    // The server may have closed already; what it said is what counts.
    let _ = stream.write_all(bytes.as_bytes()).await;
    until_closed(stream).await
}

/// Everything the server says until it closes.
pub async fn until_closed(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await;
    assert!(read.is_ok(), "the server closes; it said {:?}", String::from_utf8_lossy(&text));
    String::from_utf8(text).unwrap()
}

/// Sends `bytes` and reads one answer with a content-length; the connection stays open.
pub async fn ask(stream: &mut TcpStream, bytes: &str) -> String {
    stream.write_all(bytes.as_bytes()).await.unwrap();
    one_answer(stream).await
}

/// Reads one answer with a content-length.
pub async fn one_answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        let count = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.expect("an answer").unwrap();
        assert!(count > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
}

/// Waits until `condition` holds; for facts that another task brings about.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, poll).await.is_ok(), "{what}");
}
