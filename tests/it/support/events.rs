//! A small blocking reader of `text/event-stream`, over HTTP/1.1 with chunks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One event as it stood on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: u64,
    pub name: String,
    pub data: String,
}

/// An open stream.
pub struct Events {
    reader: BufReader<TcpStream>,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// What the chunks said and no line has taken yet.
    text: Vec<u8>,
    /// Comments seen, the signs of life.
    pub comments: usize,
}

impl Events {
    /// Asks `url` with these headers beside `Accept`.
    pub fn open(url: &str, headers: &[(&str, &str)]) -> Self {
        let (authority, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
        let stream = TcpStream::connect(authority).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(90))).expect("a timeout");
        let mut request = format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nAccept: text/event-stream\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        (&stream).write_all(request.as_bytes()).expect("writes");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("a status line");
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).expect("a header");
            match line.trim_end().split_once(':') {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
                None => break,
            }
        }
        Self { reader, status, headers, text: Vec::new(), comments: 0 }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The next event; `None` when the stream has ended as HTTP says it should.
    pub fn next(&mut self) -> Option<Event> {
        let mut event = Event { id: 0, name: String::new(), data: String::new() };
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                None if line.is_empty() && event.data.is_empty() => {}
                None if line.is_empty() => return Some(event),
                Some(("id", value)) => event.id = value.parse().expect("a number"),
                Some(("event", value)) => event.name = value.to_owned(),
                Some(("data", value)) => event.data = value.to_owned(),
                _ if line.starts_with(':') => self.comments += 1,
                _ => panic!("no line of an event: {line}"),
            }
        }
    }

    /// The next line; waits for comments too.
    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return Some(String::from_utf8(line[..end].to_vec()).expect("text"));
            }
            let mut size = String::new();
            self.reader.read_line(&mut size).expect("a chunk in time");
            let size = usize::from_str_radix(size.trim_end(), 16).unwrap_or_else(|_| panic!("no chunk: `{size}`"));
            let mut chunk = vec![0; size + 2];
            self.reader.read_exact(&mut chunk).expect("a whole chunk");
            if size == 0 {
                return None;
            }
            self.text.extend_from_slice(&chunk[..size]);
        }
    }
}
