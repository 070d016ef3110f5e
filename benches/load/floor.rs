//! The floor twin: hyper, the same form parsing, a prepared reply of the same size, and nothing else.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mintgate::ambient::SystemClock;
use mintgate::http::extract::read_body;
use mintgate::http::limits::Settings;
use mintgate::http::server::{Server, bind};
use mintgate::http::{Peer, Request, Response};
use mintgate::protocol::params::Params;
use mintgate::telemetry::metrics::Traffic;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::tls::acceptor;
use crate::unit::{Unit, Work};

/// What the twin answers: taken from an answer of mintgate, so that both write the same bytes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Whether it reads a form before it answers.
    pub form: bool,
    /// Whether it does the one signature or verification too, and nothing else of the work.
    pub unit: Option<Unit>,
    /// PEM files, for TLS.
    pub tls: Option<[PathBuf; 2]>,
    /// HTTP/2 instead of HTTP/1.1.
    pub http2: bool,
}

/// Which of the two servers of this program a process is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// hyper and nothing else.
    Twin,
    /// Our own server with its limits, and the same reply behind it: what the server itself costs.
    Bare,
}

impl Kind {
    pub const fn argument(self) -> &'static str {
        match self {
            Self::Twin => "floor-twin",
            Self::Bare => "bare-server",
        }
    }
}

/// Serves as `kind` until it is killed.
pub fn run(kind: Kind) {
    let reply: Reply = serde_json::from_str(&std::env::args().nth(2).expect("a reply")).expect("a reply");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        println!("{{\"url\":\"http://{}\"}}", listener.local_addr().unwrap());
        let (tls, http2) = (reply.tls.as_ref().map(|[certificate, key]| acceptor(certificate, key)), reply.http2);
        let prepared = Prepared::of(reply);
        match kind {
            Kind::Twin => twin(listener, prepared, tls, http2).await,
            Kind::Bare => bare(listener, prepared).await,
        }
    });
}

/// A reply with its headers parsed, for as long as the process lives.
#[derive(Clone)]
struct Prepared {
    status: StatusCode,
    headers: &'static [(HeaderName, HeaderValue)],
    body: Bytes,
    form: bool,
    work: Option<&'static Work>,
}

impl Prepared {
    fn of(reply: Reply) -> Self {
        let headers: Vec<_> = reply
            .headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        let status = StatusCode::from_u16(reply.status).unwrap();
        let work = reply.unit.map(|unit| &*Box::leak(Box::new(unit.work())));
        Self { status, headers: headers.leak(), body: Bytes::from(reply.body), form: reply.form, work }
    }

    fn response(self) -> Response {
        let mut response = Response::new(mintgate::http::Body::new(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().reserve(8);
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }
}

fn read(bytes: &[u8]) {
    let params = Params::parse(bytes).unwrap_or_default();
    std::hint::black_box(params.value("grant_type"));
}

async fn twin(listener: TcpListener, reply: Prepared, tls: Option<TlsAcceptor>, multiplexed: bool) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let reply = reply.clone();
        let service = service_fn(move |request: Request| {
            let reply = reply.clone();
            async move {
                if reply.form {
                    read(&request.into_body().collect().await.map(|whole| whole.to_bytes()).unwrap_or_default());
                }
                if let Some(work) = reply.work {
                    work.once();
                }
                Ok::<_, Infallible>(reply.response())
            }
        });
        let tls = tls.clone();
        tokio::spawn(async move {
            if let Some(acceptor) = tls {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            } else if multiplexed {
                let builder = http2::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            } else {
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        });
    }
}

async fn bare(listener: TcpListener, reply: Prepared) {
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let settings = Settings::default();
    let body = settings.body;
    let clock = Arc::new(SystemClock::new());
    let server = Server { listener, tls: None, settings, clock, traffic: Traffic::default() };
    let handler = move |request: Request, _: Peer| {
        let reply = reply.clone();
        async move {
            if reply.form {
                let (parts, incoming) = request.into_parts();
                read(&read_body(&parts.headers, incoming, &body).await.unwrap_or_default());
            }
            reply.response()
        }
    };
    server.serve(handler, stopped).await;
}
