//! An API of one route that verifies access tokens by itself and knows what was revoked: GET /orders asks for a scope.
//!
//! Printed by `mintgate gen-config rust`; the environment may say otherwise (`mintgate gen-config env`). In Cargo.toml:
//!
//! ```toml
//! http-body-util = "0.1"
//! hyper = { version = "1", features = ["http1", "server"] }
//! hyper-util = { version = "0.1", features = ["tokio"] }
//! mintgate = { version = "0.1", default-features = false }
//! tokio = { version = "1", features = ["macros", "net", "rt-multi-thread", "time"] }
//! ureq = { version = "3", default-features = false, features = ["rustls"] }
//! ```

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use mintgate::ambient::SystemClock;
use mintgate::protocol::jws::Typ;
use mintgate::verifier::{Demand, Denied, Fetch, FetchError, Fetched, Pending, Settings, Verifier};

/// How the verifier gets documents: with any HTTP client.
struct Web(ureq::Agent);

impl Fetch for Web {
    fn fetch<'a>(&'a self, url: &'a str) -> Pending<'a> {
        let (agent, url) = (self.0.clone(), url.to_owned());
        Box::pin(async move {
            let fetching = tokio::task::spawn_blocking(move || download(&agent, &url));
            fetching.await.map_err(|error| FetchError(error.to_string()))?
        })
    }
}

fn download(agent: &ureq::Agent, url: &str) -> Result<Fetched, FetchError> {
    let failed = |error: ureq::Error| FetchError(error.to_string());
    let mut answer = agent.get(url).call().map_err(failed)?;
    let cache = answer.headers().get("cache-control").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let max_age = cache.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok());
    let body = answer.body_mut().with_config().limit(16 * 1024 * 1024).read_to_vec().map_err(failed)?;
    Ok(Fetched { body, max_age: max_age.map(Duration::from_secs) })
}

/// Who asks, or the refusal to send.
async fn caller(
    request: &Request<Incoming>,
    verifier: &Verifier,
    demand: &Demand,
) -> Result<String, (u16, Option<String>)> {
    let credentials = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = match credentials.and_then(|text| text.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token,
        // RFC 6750 section 3.1: no error code for a request that brought no token.
        _ => return Err((401, Some("Bearer".to_owned()))),
    };
    match verifier.verify(token, demand).await {
        Ok(verified) => Ok(verified.claims.subject.as_str().to_owned()),
        Err(Denied::Token(_) | Denied::Revoked) => Err((401, Some("Bearer error=\"invalid_token\"".to_owned()))),
        Err(Denied::Scope) => {
            Err((403, Some(format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", demand.scope.as_str()))))
        }
        Err(Denied::Unavailable) => Err((503, None)),
    }
}

async fn answer(
    request: Request<Incoming>,
    verifier: Arc<Verifier>,
    demand: Arc<Demand>,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    if (request.method(), request.uri().path()) != (&Method::GET, "/orders") {
        return response.status(404).body(Full::default());
    }
    match caller(&request, &verifier, &demand).await {
        Ok(subject) => {
            // A subject is an id without quotes; use serde_json for anything richer.
            let body = format!(r#"{{"subject":"{subject}","orders":[{{"id":1,"item":"tea"}}]}}"#);
            response.body(Full::from(body))
        }
        Err((status, None)) => response.status(status).body(Full::default()),
        Err((status, Some(challenge))) => {
            response.status(status).header(header::WWW_AUTHENTICATE, challenge).body(Full::default())
        }
    }
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings {
        jwks_url: setting("AUTH_JWKS_URL", "https://auth.example/jwks.json"),
        typ: vec![Typ::AtJwt],
        leeway: Duration::from_secs(5),
        // However many keys tokens name, the key set is fetched once in five seconds at most.
        cool_down: Duration::from_secs(5),
        ..Settings::new(&setting("AUTH_ISSUER", "https://auth.example"))
    };
    let settings = settings.following(&setting("AUTH_REVOCATIONS_URL", "https://auth.example/revocations"));
    let demand = Arc::new(Demand {
        audience: setting("AUTH_AUDIENCE", "https://api.example"),
        scope: setting("AUTH_SCOPE", "read").parse()?,
    });
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build();
    let web = Arc::new(Web(config.into()));
    let verifier = Arc::new(Verifier::new(settings, web, Arc::new(SystemClock::new())));

    // The feed: read once before the first request, then as often as it says.
    let mut pause = verifier.follow().await;
    let follower = Arc::clone(&verifier);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(pause).await;
            pause = follower.follow().await;
        }
    });

    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{}", setting("PORT", "8000"))).await?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files, or the caller is gone already.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (verifier, demand) = (Arc::clone(&verifier), Arc::clone(&demand));
        let service = service_fn(move |request| answer(request, Arc::clone(&verifier), Arc::clone(&demand)));
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(serving);
    }
}
