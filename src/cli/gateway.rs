//! Talks to the admin listener of a running gateway.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::app::door;
use crate::cli::failure::{Exit, Failure};
use crate::cli::runtime;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer read: a census of ten thousand verifiers fits.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// A question to the admin listener.
pub struct Question<'a> {
    /// GET or POST.
    pub method: Method,
    /// `http://host:port`
    pub url: &'a str,
    /// From the slash on.
    pub path: &'a str,
    /// The admin token, for orders.
    pub token: Option<&'a str>,
    /// JSON.
    pub body: Option<String>,
}

/// Status and body.
pub type Answer = (StatusCode, serde_json::Value);

/// Asks, and waits at most ten seconds.
///
/// # Errors
/// `NotReady` if nobody answers.
pub fn ask(question: &Question<'_>) -> Result<Answer, Failure> {
    let silent = |detail: &dyn std::fmt::Display| {
        Failure::new(Exit::NotReady, format!("no answer from {}: {detail}", question.url))
            .hint("is the gateway running? `mintgate serve`")
    };
    runtime()?.block_on(async {
        match tokio::time::timeout(PATIENCE, exchange(question)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(silent(&error)),
            Err(_) => Err(silent(&"it took too long")),
        }
    })
}

async fn exchange(question: &Question<'_>) -> anyhow::Result<Answer> {
    let authority = question
        .url
        .strip_prefix("http://")
        .ok_or_else(|| anyhow::anyhow!("the admin listener speaks http, as in http://127.0.0.1:9090"))?
        .trim_end_matches('/');
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(question.method.clone()).uri(question.path).header(HOST, authority);
    if let Some(token) = question.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if question.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = Full::new(Bytes::from(question.body.clone().unwrap_or_default()));
    let response = sender.send_request(request.body(body)?).await?;
    let status = response.status();
    let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("{error}"))?
        .to_bytes();
    Ok((status, serde_json::from_slice(&bytes).unwrap_or(serde_json::Value::Null)))
}

/// Sends an order to the gateway that runs on `state`, and gives its answer if it was carried out.
///
/// # Errors
/// `NotReady` if none runs or it cannot make changes lasting now, `NotFound` for a token that is not its own,
/// `Refused` and `Failed` otherwise.
pub fn order(state: &Path, path: &str, body: String) -> Result<serde_json::Value, Failure> {
    let door = door::read(state).map_err(|error| {
        Failure::new(Exit::NotReady, format!("no gateway runs on {}: {error}", state.display()))
            .hint("revocations live in the running gateway; start it with `mintgate serve`")
    })?;
    let question = Question { method: Method::POST, url: &door.url, path, token: Some(&door.token), body: Some(body) };
    judged(ask(&question)?)
}

/// Asks the gateway that runs on `state` for what only it knows.
///
/// # Errors
/// `NotReady` if none runs, and as [`order`].
pub fn look(state: &Path, path: &str) -> Result<serde_json::Value, Failure> {
    let door = door::read(state).map_err(|error| {
        Failure::new(Exit::NotReady, format!("no gateway runs on {}: {error}", state.display()))
            .hint("only the running gateway knows; start it with `mintgate serve`")
    })?;
    judged(ask(&Question { method: Method::GET, url: &door.url, path, token: Some(&door.token), body: None })?)
}

fn judged((status, answer): Answer) -> Result<serde_json::Value, Failure> {
    let said = || answer.get("error").and_then(|text| text.as_str()).unwrap_or("no reason given").to_owned();
    match status {
        StatusCode::OK => Ok(answer),
        StatusCode::NOT_FOUND => Err(Failure::new(Exit::NotFound, said())),
        StatusCode::UNAUTHORIZED => Err(Failure::new(Exit::Refused, said())),
        StatusCode::SERVICE_UNAVAILABLE => Err(Failure::new(Exit::NotReady, said())),
        _ => Err(Failure::new(Exit::Failed, format!("{status}: {}", said()))),
    }
}
