//! The floor twin: hyper, the same form parsing, a prepared reply of the same size, and nothing else.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mintgate::protocol::params::Params;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// What the twin answers: taken from an answer of mintgate, so that both write the same bytes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Whether it reads a form before it answers.
    pub form: bool,
}

pub fn run() {
    let reply: Reply = serde_json::from_str(&std::env::args().nth(2).expect("a reply")).expect("a reply");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(serve(reply));
}

async fn serve(reply: Reply) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{{\"url\":\"http://{}\"}}", listener.local_addr().unwrap());
    let body = Bytes::from(reply.body);
    let headers: Vec<_> = reply
        .headers
        .iter()
        .map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect();
    let headers: &'static [_] = headers.leak();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let body = body.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let body = body.clone();
            async move {
                if reply.form {
                    let bytes = request.into_body().collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
                    let params = Params::parse(&bytes).unwrap_or_default();
                    std::hint::black_box(params.value("grant_type"));
                }
                let mut response = hyper::Response::new(Full::new(body));
                *response.status_mut() = hyper::StatusCode::from_u16(reply.status).unwrap();
                response.headers_mut().reserve(8);
                for (name, value) in headers {
                    response.headers_mut().insert(name, value.clone());
                }
                Ok::<_, Infallible>(response)
            }
        });
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
