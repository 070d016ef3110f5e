//! The wire: the server and its limits, what is taken from a request, how an answer is built.
//!
//! [`server::Server`] accepts and serves; a [`Handler`] answers; [`extract`] reads; [`respond`] writes.

mod body;
mod connection;
pub mod endpoint;
pub mod events;
pub mod extract;
mod ledger;
pub mod limits;
pub mod respond;
pub mod router;
pub mod server;
mod stream;
pub mod tls;

use std::future::Future;
use std::net::SocketAddr;

pub use body::{Body, Source};

/// What a handler gets.
pub type Request = hyper::Request<hyper::body::Incoming>;

/// What a handler answers.
pub type Response = hyper::Response<Body>;

/// How the bytes of a request travelled to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In the clear.
    Plain,
    /// Under our own TLS.
    Tls,
}

/// Who is at the other end of the connection. A proxy, if there is one; forwarded headers are not looked at here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address as the kernel knows it.
    pub address: SocketAddr,
    /// Plain or TLS.
    pub transport: Transport,
}

/// Answers requests. Every `Fn(Request, Peer) -> impl Future<Output = Response>` is one.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(&self, request: Request, peer: Peer) -> impl Future<Output = Response> + Send + 'static;
}

impl<F, Answer> Handler for F
where
    F: Fn(Request, Peer) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Response> + Send + 'static,
{
    fn handle(&self, request: Request, peer: Peer) -> impl Future<Output = Response> + Send + 'static {
        self(request, peer)
    }
}
