//! The throw-away issuer: keys that nobody else has, and a small server that publishes them and counts who asks.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::keys::SigningKey;

/// Connections served at once; the others wait.
const CONNECTIONS_MAX: usize = 64;
/// How long a request's head may take.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);
/// How long a verifier may keep the key set: short, so that a rotation is soon noticed by those that only wait.
const KEY_SET_AGE: Duration = Duration::from_secs(10);
/// Where a token says its key is, which no verifier may believe.
pub const BAIT: &str = "/bait.json";

/// What is published, and how often it was fetched.
#[derive(Default)]
pub struct Published {
    keys: Mutex<Vec<Value>>,
    key_set_fetches: AtomicUsize,
    bait_fetches: AtomicUsize,
}

impl Published {
    /// Publishes a key behind those that are published.
    pub fn add(&self, key: &SigningKey) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).push(key.public().to_json());
    }

    /// How often the key set was fetched.
    pub fn key_set_fetches(&self) -> usize {
        self.key_set_fetches.load(Ordering::SeqCst)
    }

    /// How often the address was fetched that only tokens name.
    pub fn bait_fetches(&self) -> usize {
        self.bait_fetches.load(Ordering::SeqCst)
    }

    /// The document at a path. Whatever stands before its last part: a proxy in front may have its own prefix.
    fn document(&self, path: &str, issuer: &str) -> Option<Value> {
        if path.ends_with("/jwks.json") {
            self.key_set_fetches.fetch_add(1, Ordering::SeqCst);
            return Some(json!({"keys": *self.keys.lock().unwrap_or_else(PoisonError::into_inner)}));
        }
        if path.ends_with(BAIT) {
            self.bait_fetches.fetch_add(1, Ordering::SeqCst);
            return Some(json!({"keys": []}));
        }
        // RFC 8414 section 3.1 puts the issuer's path behind the well-known name, OpenID Connect before it.
        let is_metadata = path.contains("/.well-known/oauth-authorization-server")
            || path.contains("/.well-known/openid-configuration");
        is_metadata.then(|| {
            json!({
                "issuer": issuer, "jwks_uri": format!("{issuer}/jwks.json"), "response_types_supported": ["code"],
                "authorization_endpoint": format!("{issuer}/none"), "token_endpoint": format!("{issuer}/none"),
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
            })
        })
    }
}

/// Serves what is published until the runtime ends.
pub async fn serve(listener: TcpListener, published: Arc<Published>, issuer: Arc<str>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        // A connection that ended before it was taken is no reason to stop.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (published, issuer) = (Arc::clone(&published), Arc::clone(&issuer));
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<_>| {
                let document = published.document(request.uri().path(), &issuer);
                async move { Ok::<_, Infallible>(response(document)) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE);
            // How it ended is the verifier's affair.
            let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
            drop(seat);
        });
    }
}

fn response(document: Option<Value>) -> Response<Full<Bytes>> {
    let status = if document.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let body = document.map(|document| document.to_string()).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    if let Ok(age) = format!("public, max-age={}", KEY_SET_AGE.as_secs()).parse() {
        headers.insert(CACHE_CONTROL, age);
    }
    response
}
