//! The closed loop of one connection over HTTP/2, in the clear.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::client::{Outcome, Script};

/// As the loop of HTTP/1.1. The bytes of the script are taken apart again, once.
pub async fn one(address: String, mut script: Script, expected: u16, until: Instant) -> (Script, Outcome) {
    let mut outcome = Outcome { latencies: Vec::with_capacity(4096), ..Outcome::default() };
    let request = taken_apart(&script.request());
    let Ok(stream) = TcpStream::connect(&address).await else {
        outcome.failed += 1;
        return (script, outcome);
    };
    let _ = stream.set_nodelay(true);
    let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut now = Instant::now();
    while now < until {
        let answer = sender.send_request(request.clone()).await;
        let good = match answer {
            Ok(answer) => answer.status().as_u16() == expected && answer.into_body().collect().await.is_ok(),
            Err(_) => false,
        };
        let before = std::mem::replace(&mut now, Instant::now());
        if good {
            outcome.good(now - before);
        } else {
            outcome.failed += 1;
        }
    }
    drop(sender);
    connection.abort();
    (script, outcome)
}

fn taken_apart(bytes: &[u8]) -> hyper::Request<Full<Bytes>> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").expect("a request");
    let mut lines = head.lines();
    let mut first = lines.next().expect("a request line").split(' ');
    let (method, path) = (first.next().unwrap(), first.next().unwrap());
    let mut request =
        hyper::Request::builder().method(method).uri(format!("http://localhost{path}")).version(hyper::Version::HTTP_2);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name != "host" && name != "content-length" {
            request = request.header(name, value);
        }
    }
    request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}
