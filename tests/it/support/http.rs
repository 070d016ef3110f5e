//! A small blocking HTTP/1.1 client: it sends exactly what a test says and hides nothing of the answer.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer, headers in the order they came, names in lower case.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The `error` member, or an empty text.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    pub fn member(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {}", self.text())).to_owned()
    }
}

/// `http://host:port` without the scheme.
fn authority(url: &str) -> &str {
    url.trim_start_matches("http://").split('/').next().unwrap_or_default()
}

/// Sends bytes as they are and reads one answer.
pub fn raw(url: &str, request: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(authority(url))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    read_answer(&mut BufReader::new(stream), request.starts_with(b"HEAD"))
}

pub fn read_answer(reader: &mut impl BufRead, head: bool) -> std::io::Result<Answer> {
    let bad = |text: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, text.to_owned());
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let status = line.split(' ').nth(1).and_then(|code| code.trim().parse().ok()).ok_or_else(|| bad(&line))?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad(line))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    let length = answer.header("content-length").and_then(|text| text.parse::<usize>().ok());
    match length {
        _ if head || status == 304 || status == 204 => {}
        Some(length) => {
            answer.body = vec![0; length];
            reader.read_exact(&mut answer.body)?;
        }
        None => {
            reader.read_to_end(&mut answer.body)?;
        }
    }
    Ok(answer)
}

/// One request on its own connection.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let path = url.trim_start_matches("http://").find('/').map_or("/", |at| &url[at + "http://".len()..]);
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", authority(url));
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(body);
    raw(url, &bytes).unwrap_or_else(|error| panic!("{method} {url}: {error}"))
}

pub fn get(url: &str) -> Answer {
    send("GET", url, &[], b"")
}

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// Posts a form; `basic` is `(id, secret)`.
pub fn post_form(url: &str, basic: Option<(&str, &str)>, form: &[(&str, &str)]) -> Answer {
    let body = encode_form(form);
    match basic {
        None => send("POST", url, &[FORM], body.as_bytes()),
        Some((id, secret)) => {
            let value = basic_header(id, secret);
            send("POST", url, &[FORM, ("Authorization", &value)], body.as_bytes())
        }
    }
}

/// `Authorization: Basic` with form-encoded parts (RFC 6749 section 2.3.1).
pub fn basic_header(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    let pair = format!("{}:{}", percent(id), percent(secret));
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

pub fn encode_form(form: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = form.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value))).collect();
    pairs.join("&")
}

pub fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Header and claims of a compact JWS, unverified.
pub fn peek(token: &str) -> (serde_json::Value, serde_json::Value) {
    let part = |at: usize| {
        let text = token.split('.').nth(at).expect("three parts");
        serde_json::from_slice(&mintgate::protocol::base64url::decode(text.as_bytes()).expect("base64url"))
            .expect("JSON")
    };
    (part(0), part(1))
}
