//! A closed loop: N kept-alive connections, each asks again as soon as it is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What one connection sends.
#[derive(Clone)]
pub enum Script {
    /// The same bytes again and again.
    Fixed(Arc<[u8]>),
    /// A refresh with the token of the last answer.
    Refresh { client_id: String, token: String },
}

impl Script {
    fn request(&self) -> Arc<[u8]> {
        match self {
            Self::Fixed(bytes) => Arc::clone(bytes),
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

/// One kept-alive connection.
pub struct Connection {
    address: String,
    stream: TcpStream,
    buffer: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Connection {
    pub async fn open(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { address: address.to_owned(), stream, buffer: Vec::with_capacity(8192) })
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
pub async fn drive(address: &str, scripts: &mut Vec<Script>, expected: u16, phase: Duration) -> Outcome {
    let started = Instant::now();
    let until = started + phase;
    let tasks: Vec<_> =
        scripts.drain(..).map(|script| tokio::spawn(one(address.to_owned(), script, expected, until))).collect();
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

async fn one(address: String, mut script: Script, expected: u16, until: Instant) -> (Script, Outcome) {
    let mut outcome = Outcome { latencies: Vec::with_capacity(4096), ..Outcome::default() };
    let Ok(mut connection) = Connection::open(&address).await else {
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
                outcome.good += 1;
                outcome.latencies.push(u32::try_from((now - before).as_micros()).unwrap_or(u32::MAX));
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
                match Connection::open(&connection.address).await {
                    Ok(new) => connection = new,
                    Err(_) => break,
                }
            }
        }
    }
    (script, outcome)
}
