//! A closed loop: N connections, each asks again as soon as it is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How requests travel.
#[derive(Clone)]
pub enum Wire {
    /// HTTP/1.1, kept alive.
    Kept,
    /// HTTP/1.1, a connection for each request.
    Fresh,
    /// HTTP/1.1 under TLS, kept alive.
    Tls(TlsConnector),
    /// HTTP/2 in the clear, kept alive, one request at a time.
    Http2,
}

/// What one connection sends.
#[derive(Clone)]
pub enum Script {
    /// The same bytes again and again.
    Fixed(Arc<[u8]>),
    /// One after the other, and again from the first; `usize` is the next.
    Each(Arc<Vec<Vec<u8>>>, usize),
    /// A refresh with the token of the last answer.
    Refresh { client_id: String, token: String },
}

impl Script {
    pub fn request(&mut self) -> Arc<[u8]> {
        match self {
            Self::Fixed(bytes) => Arc::clone(bytes),
            Self::Each(all, next) => {
                let request = &all[*next % all.len()];
                *next += 1;
                request.as_slice().into()
            }
            Self::Refresh { client_id, token } => {
                let form = format!("grant_type=refresh_token&client_id={client_id}&refresh_token={token}");
                post("/token", &form, "application/x-www-form-urlencoded").into()
            }
        }
    }

    fn learn(&mut self, body: &str) {
        if let Self::Refresh { token, .. } = self
            && let Some(new) = member(body, "refresh_token")
        {
            new.clone_into(token);
        }
    }
}

/// A string member of a JSON object without escapes, found without parsing the rest.
fn member<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let start = body.find(&format!("\"{name}\":\""))? + name.len() + 4;
    body.get(start..)?.split('"').next()
}

pub fn get(path: &str, fields: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n").into_bytes()
}

pub fn post(path: &str, body: &str, media_type: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Bytes both ways, with or without TLS.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// One connection of HTTP/1.1.
pub struct Connection {
    address: String,
    wire: Wire,
    stream: Box<dyn Duplex>,
    buffer: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// A member of the body, which must be there.
    pub fn member(&self, name: &str) -> String {
        member(&self.body, name).unwrap_or_else(|| panic!("no {name}: {} {}", self.head, self.body)).to_owned()
    }
}

impl Connection {
    pub async fn open(address: &str, wire: &Wire) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Duplex> = match wire {
            Wire::Tls(connector) => {
                Box::new(connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?)
            }
            Wire::Kept | Wire::Fresh | Wire::Http2 => Box::new(stream),
        };
        Ok(Self { address: address.to_owned(), wire: wire.clone(), stream, buffer: Vec::with_capacity(8192) })
    }

    /// Sends a request and reads its answer; `(status, body range)` in the buffer.
    async fn exchange(&mut self, request: &[u8]) -> std::io::Result<(u16, std::ops::Range<usize>)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut body: Option<std::ops::Range<usize>> = None;
        loop {
            if body.is_none() {
                body = self.buffer.windows(4).position(|four| four == b"\r\n\r\n").map(|end| {
                    let length = content_length(&self.buffer[..end]);
                    end + 4..end + 4 + length
                });
            }
            if let Some(range) = &body
                && self.buffer.len() >= range.end
            {
                let status = std::str::from_utf8(&self.buffer[9..12]).ok().and_then(|text| text.parse().ok());
                return Ok((status.unwrap_or(0), range.clone()));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The whole answer; for setting up.
    pub async fn ask(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        let (status, body) = self.exchange(request).await?;
        let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&self.buffer[range]).into_owned();
        Ok(Answer { status, head: text(0..body.start), body: text(body) })
    }
}

fn content_length(head: &[u8]) -> usize {
    let name = b"\r\ncontent-length: ";
    let found = head.windows(name.len()).position(|window| window.eq_ignore_ascii_case(name));
    let Some(start) = found else { return 0 };
    head[start + name.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |n, d| n * 10 + usize::from(d - b'0'))
}

/// What a phase came to.
#[derive(Default)]
pub struct Outcome {
    /// Answers with the expected status.
    pub good: u64,
    /// Answers 503.
    pub busy: u64,
    /// Everything else: other statuses, broken connections.
    pub failed: u64,
    /// Microseconds of the good ones, sorted.
    pub latencies: Vec<u32>,
    pub took: Duration,
}

impl Outcome {
    pub fn good(&mut self, took: Duration) {
        self.good += 1;
        self.latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn per_second(&self) -> f64 {
        self.good as f64 / self.took.as_secs_f64()
    }

    /// The latency in microseconds that the given share stays below.
    pub fn quantile(&self, share: f64) -> f64 {
        let index = (self.latencies.len() as f64 * share) as usize;
        self.latencies
            .get(index.min(self.latencies.len().saturating_sub(1)))
            .map_or(f64::NAN, |micros| f64::from(*micros))
    }
}

/// Drives `address` for `phase`, one connection a script; the scripts keep what they learnt.
pub async fn drive(address: &str, wire: &Wire, scripts: &mut Vec<Script>, expected: u16, phase: Duration) -> Outcome {
    let started = Instant::now();
    let until = started + phase;
    let spawn = |script| {
        let (address, wire) = (address.to_owned(), wire.clone());
        match wire {
            Wire::Http2 => tokio::spawn(crate::http2::one(address, script, expected, until)),
            Wire::Kept | Wire::Fresh | Wire::Tls(_) => tokio::spawn(one(address, wire, script, expected, until)),
        }
    };
    let tasks: Vec<_> = scripts.drain(..).map(spawn).collect();
    let mut whole = Outcome::default();
    for task in tasks {
        let (script, part) = task.await.expect("a client");
        scripts.push(script);
        whole.good += part.good;
        whole.busy += part.busy;
        whole.failed += part.failed;
        whole.latencies.extend(part.latencies);
    }
    whole.took = started.elapsed();
    whole.latencies.sort_unstable();
    whole
}

async fn one(address: String, wire: Wire, mut script: Script, expected: u16, until: Instant) -> (Script, Outcome) {
    let mut outcome = Outcome { latencies: Vec::with_capacity(4096), ..Outcome::default() };
    let Ok(mut connection) = Connection::open(&address, &wire).await else {
        outcome.failed += 1;
        return (script, outcome);
    };
    let mut now = Instant::now();
    while now < until {
        let request = script.request();
        let answer = connection.exchange(&request).await;
        let before = std::mem::replace(&mut now, Instant::now());
        match answer {
            Ok((status, body)) if status == expected => {
                outcome.good(now - before);
                if matches!(script, Script::Refresh { .. }) {
                    script.learn(&String::from_utf8_lossy(&connection.buffer[body]));
                }
            }
            Ok((503, _)) => {
                outcome.busy += 1;
                // A polite client; Retry-After would be a second or more.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(_) => outcome.failed += 1,
            Err(_) => {
                outcome.failed += 1;
                match Connection::open(&connection.address, &connection.wire).await {
                    Ok(new) => connection = new,
                    Err(_) => break,
                }
            }
        }
        if matches!(wire, Wire::Fresh) {
            let Ok(new) = Connection::open(&address, &wire).await else { break };
            connection = new;
        }
    }
    (script, outcome)
}
