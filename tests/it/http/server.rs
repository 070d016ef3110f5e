//! Every limit by what a client sees of it, and the stop that loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mintgate::http::limits::{BodyLimits, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{GET, PATIENCE, Running, ask, eventually, exchange, one_answer, until_closed};

/// Deadlines so long that only the one under test can pass.
fn patient() -> Settings {
    let long = Duration::from_secs(600);
    Settings {
        header_timeout: long,
        idle_timeout: long,
        write_timeout: long,
        linger_timeout: Duration::from_millis(200),
        body: BodyLimits { body_bytes_max: 1000, body_timeout: long },
        drain_grace: Duration::from_millis(300),
        drain_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_dribbled_header_is_cut_off_and_others_do_not_notice() {
    let running = Running::start(Settings { header_timeout: Duration::from_millis(300), ..patient() });
    // Bytes at every stage: none, within the detection of HTTP/2, within the header, after a served request.
    for start in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: a\r\nx: ", "kept alive"] {
        let mut slow = running.connect().await;
        if start == "kept alive" {
            ask(&mut slow, GET).await;
            slow.write_all(b"G").await.unwrap();
        } else {
            slow.write_all(start.as_bytes()).await.unwrap();
        }
        let (mut reader, mut writer) = slow.into_split();
        let dribble = tokio::spawn(async move {
            while writer.write_all(b"a").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut good = running.connect().await;
        let mut closed = tokio::spawn(async move {
            let mut rest = Vec::new();
            // A reset is as good an end as any.
            let _ = reader.read_to_end(&mut rest).await;
        });
        let served = async {
            while !closed.is_finished() {
                assert!(ask(&mut good, GET).await.starts_with("HTTP/1.1 200"), "{start:?}");
            }
        };
        tokio::time::timeout(PATIENCE, served).await.unwrap_or_else(|_| panic!("{start:?} is never closed"));
        (&mut closed).await.unwrap();
        dribble.abort();
    }
}

#[tokio::test]
async fn a_quiet_connection_outlives_the_header_timeout_but_not_the_idle_timeout() {
    let settings =
        Settings { header_timeout: Duration::from_millis(100), idle_timeout: Duration::from_millis(900), ..patient() };
    let running = Running::start(settings);
    let mut stream = running.connect().await;
    let started = tokio::time::Instant::now();
    ask(&mut stream, GET).await;
    assert_eq!(until_closed(&mut stream).await, "");
    assert!(started.elapsed() >= Duration::from_millis(900), "closed after {:?}", started.elapsed());
}

#[tokio::test]
async fn malformed_and_ambiguous_requests_are_refused_and_the_connection_is_closed() {
    let running = Running::start(patient());
    let many = "x: y\r\n".repeat(101);
    let long = "y".repeat(20_000);
    let rows: [(&str, String, &str); 14] = [
        ("too many fields", format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"), "431"),
        ("too long a field", format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), "431"),
        ("too long a line", format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), "431"),
        ("no Host", "GET / HTTP/1.1\r\n\r\n".into(), "400"),
        ("two Hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n".into(), "400"),
        ("a folded field", "GET / HTTP/1.1\r\nhost: a\r\nx: b\r\n c\r\n\r\n".into(), "400"),
        ("a space before the colon", "GET / HTTP/1.1\r\nhost : a\r\n\r\n".into(), "400"),
        ("two lengths", post("content-length: 1\r\ncontent-length: 2\r\n", "ab"), "400"),
        ("a signed length", post("content-length: +1\r\n", "a"), "400"),
        ("two lengths in one", post("content-length: 1, 1\r\n", "a"), "400"),
        ("an unknown coding", post("transfer-encoding: gzip\r\n", "a"), "400"),
        ("chunked not last", post("transfer-encoding: chunked, gzip\r\n", "a"), "400"),
        ("a bad chunk size", post("transfer-encoding: chunked\r\n", "zz\r\na\r\n0\r\n\r\n"), "400"),
        ("a chunk without its end", post("transfer-encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n"), "400"),
    ];
    for (name, request, status) in rows {
        let mut stream = running.connect().await;
        // A second request follows each: it must never be answered.
        let said = exchange(&mut stream, &format!("{request}{GET}")).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {said}");
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{name}: {said}");
    }
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n{body}")
}

#[tokio::test]
async fn nothing_can_be_smuggled_behind_a_chunked_body() {
    // RFC 9112 section 6.1: both fields at once; the connection ends after the one answer.
    let running = Running::start(patient());
    for fields in [
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
        "transfer-encoding: chunked\r\n",
    ] {
        let mut stream = running.connect().await;
        let said = exchange(&mut stream, &format!("{}{GET}", post(fields, "1\r\na\r\n0\r\n\r\n"))).await;
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{fields}: {said}");
        assert!(said.contains("connection: close"), "{fields}: {said}");
    }
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused_early() {
    let running = Running::start(patient());
    let body = "a".repeat(1001);
    let chunked = format!("3e9\r\n{body}\r\n0\r\n\r\n");
    let rows: [(&str, String); 4] = [
        ("by its announced length, before it is sent", post("content-length: 1001\r\n", "")),
        ("and nobody is asked to continue", post("content-length: 1001\r\nexpect: 100-continue\r\n", "")),
        ("sent nevertheless", post("content-length: 1001\r\n", &body)),
        ("by counting", post("transfer-encoding: chunked\r\n", &chunked)),
    ];
    for (name, request) in rows {
        let mut stream = running.connect().await;
        let said = ask(&mut stream, &request).await;
        assert!(said.starts_with("HTTP/1.1 413"), "{name}: {said}");
    }
    let mut stream = running.connect().await;
    let said = ask(&mut stream, &post("content-length: 1000\r\n", &body[1..])).await;
    assert!(said.ends_with("\r\n\r\n1000"), "the bound itself is allowed: {said}");
    // The same connection again: a whole body leaves it usable.
    assert!(ask(&mut stream, GET).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_refused_body_still_on_its_way_does_not_destroy_the_answer() {
    // RFC 9112 section 9.6: closing with unread bytes would reset the connection, and the 413 with it.
    let running = Running::start(patient());
    let mut stream = running.connect().await;
    stream.write_all(post("content-length: 500000\r\n", "").as_bytes()).await.unwrap();
    let body = "a".repeat(500_000);
    let sent = stream.write_all(body.as_bytes()).await;
    assert!(sent.is_ok(), "{sent:?}");
    assert!(until_closed(&mut stream).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_slow_body_is_given_up() {
    let body = BodyLimits { body_bytes_max: 1000, body_timeout: Duration::from_millis(200) };
    let running = Running::start(Settings { body, ..patient() });
    let mut stream = running.connect().await;
    let said = exchange(&mut stream, &post("content-length: 10\r\n", "12345")).await;
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    let mut good = running.connect().await;
    assert!(ask(&mut good, GET).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_peer_that_takes_no_answer_is_cut_off() {
    let running = Running::start(Settings { write_timeout: Duration::from_millis(300), ..patient() });
    let stream = running.connect().await;
    let (reader, mut writer) = stream.into_split();
    // Requests without end, answers never read: the buffers fill, then the server waits, then it closes.
    let flood = GET.repeat(1000);
    let send = async { while writer.write_all(flood.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, send).await.expect("the server closes");
    drop(reader);
    eventually("no connection is left", || running.traffic.connections.get() == 0).await;
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_cut_off() {
    let running = Running::start(Settings { write_timeout: Duration::from_millis(300), ..patient() });
    let mut stream = running.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    eventually("it is served", || running.traffic.connections.get() == 1).await;
    eventually("it is cut off", || running.traffic.connections.get() == 0).await;
    assert_eq!(running.traffic.connections_timed_out.get(), 1);
    assert_eq!(running.traffic.in_flight.get(), 0);
}

#[tokio::test]
async fn a_quiet_stream_is_no_idleness_and_no_request_in_flight() {
    let settings =
        Settings { idle_timeout: Duration::from_millis(100), write_timeout: Duration::from_millis(100), ..patient() };
    let running = Running::start(settings);
    let mut stream = running.connect().await;
    stream.write_all(b"GET /quiet HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // Others come, stay too long and go: the judge has been round.
    for _ in 0..4 {
        let mut other = running.connect().await;
        let said = exchange(&mut other, GET).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    }
    eventually("the stream alone is left", || running.traffic.connections.get() == 1).await;
    assert_eq!(running.traffic.in_flight.get(), 0);
    running.gate.add_permits(1);
    // Its end is the begin of idleness, which ends the connection.
    let said = until_closed(&mut stream).await;
    assert!(said.contains("at last") && said.ends_with("0\r\n\r\n"), "{said}");
}

#[tokio::test]
async fn those_who_only_wait_for_news_are_not_counted_as_in_flight() {
    let running = Running::start(Settings { in_flight_max: 1, ..patient() });
    let mut waiting = running.connect().await;
    waiting.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    eventually("it is in flight", || running.traffic.in_flight.get() == 1).await;
    running.traffic.held.inc();
    let mut other = running.connect().await;
    assert!(ask(&mut other, GET).await.starts_with("HTTP/1.1 200"), "the one that waits is no load");
    running.traffic.held.dec();
    assert!(ask(&mut other, GET).await.starts_with("HTTP/1.1 503"));
    running.gate.add_permits(1);
    one_answer(&mut waiting).await;
}

#[tokio::test]
async fn connections_over_the_bound_are_refused_and_room_is_made_again() {
    let running = Running::start(Settings { connections_max: 2, ..patient() });
    let mut first = running.connect().await;
    let mut second = running.connect().await;
    ask(&mut first, GET).await;
    ask(&mut second, GET).await;
    let mut third = running.connect().await;
    let said = until_closed(&mut third).await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("retry-after: 1"), "{said}");
    assert!(ask(&mut first, GET).await.starts_with("HTTP/1.1 200"), "those inside are served");
    assert_eq!(running.traffic.connections_refused.get(), 1);
    drop(second);
    eventually("the place is free", || running.traffic.connections.get() == 1).await;
    let mut fourth = running.connect().await;
    assert!(ask(&mut fourth, GET).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn requests_over_the_bound_are_told_to_come_back() {
    let running = Running::start(Settings { in_flight_max: 1, ..patient() });
    let mut waiting = running.connect().await;
    waiting.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    eventually("the first is in flight", || running.traffic.in_flight.get() == 1).await;
    let mut other = running.connect().await;
    let said = ask(&mut other, GET).await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("retry-after: 1"), "{said}");
    assert!(said.contains("temporarily_unavailable"), "{said}");
    running.gate.add_permits(1);
    assert!(one_answer(&mut waiting).await.starts_with("HTTP/1.1 200"));
    assert!(ask(&mut other, GET).await.starts_with("HTTP/1.1 200"), "on the same connection, now there is room");
    assert_eq!(running.traffic.requests_refused.get(), 1);
}

#[tokio::test]
async fn a_handler_that_panics_harms_nobody_else() {
    let running = Running::start(patient());
    let mut unlucky = running.connect().await;
    let said = exchange(&mut unlucky, "GET /panic HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(said, "");
    let mut good = running.connect().await;
    assert!(ask(&mut good, GET).await.starts_with("HTTP/1.1 200"));
    eventually("nothing leaks", || running.traffic.in_flight.get() == 0 && running.traffic.connections.get() == 1)
        .await;
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_and_what_arrives_on_idle_connections() {
    let running = Running::start(patient());
    let mut waiting = running.connect().await;
    waiting.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    eventually("in flight", || running.traffic.in_flight.get() == 1).await;
    let mut idle = running.connect().await;
    ask(&mut idle, GET).await;
    let mut silent = running.connect().await;
    ask(&mut silent, GET).await;

    running.stop();
    let said = exchange(&mut idle, GET).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("connection: close"), "{said}");
    let mut late = running.connect().await;
    let said = exchange(&mut late, GET).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("connection: close"), "still accepting: {said}");
    // Silent for the whole grace: closed, and by then the listener is gone too.
    assert_eq!(until_closed(&mut silent).await, "");
    running.gate.add_permits(1);
    let said = until_closed(&mut waiting).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("connection: close"), "{said}");
    let address = running.address;
    assert_eq!(running.stopped().await.cut_off, 0);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let settings =
        Settings { drain_grace: Duration::from_millis(50), drain_timeout: Duration::from_millis(200), ..patient() };
    let running = Running::start(settings);
    let mut waiting = running.connect().await;
    waiting.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    eventually("in flight", || running.traffic.in_flight.get() == 1).await;
    running.stop();
    assert_eq!(running.stopped().await.cut_off, 1);
}

/// Clients that keep connections alive, honour `Connection: close`, and ask as fast as they can. Once the door is
/// shut they stop; until then every request they send must be answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_fails_no_request() {
    for _ in 0..5 {
        let running = Running::start(Settings { drain_grace: Duration::from_millis(200), ..patient() });
        let answered = Arc::new(AtomicU64::new(0));
        let stopping = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..32)
            .map(|_| {
                let (address, answered, stopping) = (running.address, Arc::clone(&answered), Arc::clone(&stopping));
                tokio::spawn(async move {
                    loop {
                        let Ok(mut stream) = TcpStream::connect(address).await else {
                            assert!(stopping.load(Ordering::SeqCst), "refused before the stop");
                            return;
                        };
                        loop {
                            let said = ask(&mut stream, GET).await;
                            assert!(said.starts_with("HTTP/1.1 200"), "{said}");
                            answered.fetch_add(1, Ordering::SeqCst);
                            if said.contains("connection: close") {
                                break;
                            }
                        }
                    }
                })
            })
            .collect();
        eventually("under load", || answered.load(Ordering::SeqCst) > 500).await;
        stopping.store(true, Ordering::SeqCst);
        running.stop();
        for client in clients {
            client.await.expect("no request failed");
        }
        assert_eq!(running.stopped().await.cut_off, 0);
    }
}
