//! HTTP/2: limits and the stop, by hyper's client and by raw frames.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mintgate::http::limits::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::{GET, PATIENCE, Running, ask, eventually};

async fn client(running: &Running) -> (SendRequest<Empty<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(running.connect().await)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn request(path: &str) -> hyper::Request<Empty<Bytes>> {
    hyper::Request::get(format!("http://a{path}")).body(Empty::new()).unwrap()
}

fn quick() -> Settings {
    Settings {
        drain_grace: Duration::from_millis(200),
        drain_timeout: Duration::from_secs(5),
        linger_timeout: Duration::from_millis(200),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_quiet_connection_outlives_the_header_timeout_but_not_the_idle_timeout() {
    let settings =
        Settings { header_timeout: Duration::from_millis(100), idle_timeout: Duration::from_millis(600), ..quick() };
    let running = Running::start(settings);
    let (mut sender, connection) = client(&running).await;
    let answer = sender.send_request(request("/")).await.unwrap();
    assert_eq!(answer.version(), hyper::Version::HTTP_2);
    assert_eq!(answer.headers().get("connection"), None);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    let started = tokio::time::Instant::now();
    let ended = tokio::time::timeout(PATIENCE, connection).await.expect("closed").unwrap();
    assert!(ended.is_ok(), "by GOAWAY, not by a reset: {ended:?}");
    assert!(started.elapsed() >= Duration::from_millis(550), "closed after {:?}", started.elapsed());
}

#[tokio::test]
async fn a_connection_that_never_asks_is_closed() {
    let running = Running::start(Settings { header_timeout: Duration::from_millis(200), ..quick() });
    let (sender, connection) = client(&running).await;
    let ended = tokio::time::timeout(PATIENCE, connection).await;
    assert!(ended.is_ok(), "closed");
    drop(sender);
}

#[tokio::test]
async fn a_stop_says_goaway_and_finishes_what_is_in_flight() {
    let running = Running::start(quick());
    let (mut sender, connection) = client(&running).await;
    let waiting = tokio::spawn(sender.send_request(request("/wait")));
    eventually("in flight", || running.traffic.in_flight.get() == 1).await;
    running.stop();
    // New streams are refused on this connection, the old one goes on.
    let gone = async { while sender.send_request(request("/")).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, gone).await.expect("GOAWAY");
    running.gate.add_permits(1);
    let answer = waiting.await.unwrap().expect("answered");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    assert!(tokio::time::timeout(PATIENCE, connection).await.expect("closed").unwrap().is_ok());
    assert_eq!(running.stopped().await.cut_off, 0);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_ends_its_connection() {
    let running = Running::start(Settings { write_timeout: Duration::from_millis(300), ..quick() });
    let (mut sender, connection) = client(&running).await;
    // Its window is full soon; the socket is not, and other streams go on: only the stream itself shows it.
    let unread = sender.send_request(request("/endless")).await.unwrap();
    let others = async { while sender.send_request(request("/")).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, others).await.expect("cut off");
    drop((unread, connection));
    eventually("nothing is left", || running.traffic.connections.get() == 0).await;
    assert_eq!(running.traffic.connections_timed_out.get(), 1);
}

#[tokio::test]
async fn streams_over_the_bound_wait_for_their_turn() {
    let running = Running::start(Settings { streams_max: 2, ..quick() });
    let (mut sender, _connection) = client(&running).await;
    sender.send_request(request("/")).await.unwrap();
    let many: Vec<_> = (0..5).map(|_| tokio::spawn(sender.send_request(request("/wait")))).collect();
    eventually("two are in flight", || running.traffic.in_flight.get() == 2).await;
    running.gate.add_permits(5);
    for one in many {
        assert_eq!(one.await.unwrap().unwrap().status(), 200);
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// RFC 7541: GET, http, `/`, and the authority `a`.
const FIELDS: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];

#[tokio::test]
async fn attacks_by_frames_end_the_attacker_only() {
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat();
    let ids = || (0..20_000_u32).map(|index| 2 * index + 1);
    // CVE-2023-44487: open and reset, at once, for ever.
    let resets = ids().flat_map(|id| [frame(1, 5, id, &FIELDS), frame(3, 0, id, &8_u32.to_be_bytes())].concat());
    // Header blocks without an end (CVE-2024-27316 and its kin): one field after the other.
    let endless = std::iter::once(frame(1, 1, 1, &FIELDS))
        .chain((0..20_000).map(|_| frame(9, 0, 1, &[[0x00, 0x01, b'x', 0x7f, 0x01].as_slice(), &[b'y'; 128]].concat())))
        .flatten();
    // SETTINGS that each ask for an acknowledgement (CVE-2019-9515), answers never read.
    let settings = (0..400_000).flat_map(|_| frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    let attacks: [(&str, Vec<u8>); 3] =
        [("resets", resets.collect()), ("endless headers", endless.collect()), ("settings", settings.collect())];
    let running = Running::start(Settings { write_timeout: Duration::from_millis(500), ..quick() });
    for (name, attack) in attacks {
        let mut attacker = running.connect().await;
        attacker.write_all(&preface).await.unwrap();
        let assault = async { while attacker.write_all(&attack).await.is_ok() {} };
        let mut good = running.connect().await;
        let watch = async {
            loop {
                assert!(ask(&mut good, GET).await.starts_with("HTTP/1.1 200"), "{name}");
            }
        };
        let ended = async {
            tokio::select! { () = assault => {} () = watch => {} }
        };
        tokio::time::timeout(PATIENCE, ended).await.unwrap_or_else(|_| panic!("{name}: never cut off"));
        let _ = attacker.read(&mut [0; 1024]).await;
        drop(attacker);
        drop(good);
        eventually(name, || running.traffic.connections.get() == 0 && running.traffic.in_flight.get() == 0).await;
    }
}
