//! `/revocations` for those who wait: held requests and the event stream, as `manual::feed` describes them.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::events::Events;
use crate::support::http::{get, peek, read_answer, send};
use crate::support::server::{Server, configured, stderr, until};

/// An id of a token, another for each number.
fn jti(n: u8) -> String {
    mintgate::protocol::base64url::encode(&[n; 16])
}

fn revoke(server: &Server, jti: &str) {
    let output = server.command(&["revoke", "--jti", jti]);
    assert!(output.status.success(), "{}", stderr(&output));
}

fn latest(server: &Server) -> u64 {
    peek(&get(&server.url("/revocations")).text()).1["to"].as_u64().expect("a number")
}

fn names(document: &str) -> Vec<String> {
    let entries = peek(document).1["revoked"]["jti"].clone();
    entries.as_array().expect("entries").iter().map(|entry| entry[0].as_str().expect("an id").to_owned()).collect()
}

/// One figure of `/metrics`, by the start of its line.
fn figure(server: &Server, name: &str) -> u64 {
    let text = get(&server.admin("/metrics")).text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.split(' ').next_back().expect("a figure").parse::<f64>().expect("a number") as u64
}

/// A request that is sent and not read yet.
fn ask(server: &Server, path: &str) -> TcpStream {
    let url = server.url("");
    let authority = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority).expect("connects");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {authority}\r\n\r\n").expect("writes");
    stream
}

fn answer(stream: TcpStream) -> crate::support::http::Answer {
    stream.set_read_timeout(Some(Duration::from_secs(90))).expect("a timeout");
    read_answer(&mut std::io::BufReader::new(stream), false).expect("an answer")
}

#[test]
fn a_request_is_held_until_there_is_news_or_the_time_is_up() {
    let server = Server::dev();
    let start = latest(&server);
    // Time up: what a request that does not wait gets.
    let began = Instant::now();
    let quiet = get(&server.url(&format!("/revocations?since={start}&wait=1")));
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    let claims = peek(&quiet.text()).1;
    assert_eq!((quiet.status, &claims["from"], &claims["to"]), (200, &json!(start), &json!(start)));
    assert_eq!(quiet.header("cache-control"), Some("no-store"), "a cache would answer the next at once");
    assert_eq!(quiet.header("vary"), Some("accept"));
    let etag = quiet.header("etag").expect("a tag").to_owned();
    let url = server.url(&format!("/revocations?since={start}&wait=1"));
    assert_eq!(send("GET", &url, &[("If-None-Match", &etag)], b"").status, 304);
    // News: at once. The 50 seconds it may wait would be over after the patience of this test.
    let held = ask(&server, &format!("/revocations?since={start}&wait=9999"));
    until("it is held", || figure(&server, "mintgate_feed_followers{way=\"long_poll\"}") == 1);
    revoke(&server, &jti(1));
    let news = answer(held);
    assert_eq!((news.status, names(&news.text())), (200, vec![jti(1)]));
    assert_eq!(figure(&server, "mintgate_feed_followers{way=\"long_poll\"}"), 0);
    // Something newer is there already, or the number is none of this run's: no wait.
    for since in [start, 0, start - 1, u64::MAX] {
        let news = get(&server.url(&format!("/revocations?since={since}&wait=50")));
        assert_eq!(names(&news.text()), [jti(1)], "{since}");
    }
    for bad in ["wait=x", "wait=-1", "wait=1&wait=2", "wait=1.5"] {
        assert_eq!(get(&server.url(&format!("/revocations?since={start}&{bad}"))).status, 400, "{bad}");
    }
}

#[test]
fn many_who_wait_cost_one_signature_and_no_place_among_the_requests_in_flight() {
    const FOLLOWERS: usize = 40;
    let server =
        Server::lasting(|text| configured(text, "limits", &format!("in_flight_max = 4\nfollowers_max = {FOLLOWERS}")));
    let start = latest(&server);
    let path = format!("/revocations?since={start}&wait=50");
    let held: Vec<TcpStream> = (0..FOLLOWERS).map(|_| ask(&server, &path)).collect();
    until("all are held", || figure(&server, "mintgate_feed_followers{way=\"long_poll\"}") == FOLLOWERS as u64);
    // One more finds no place; asking without waiting, and everything else, goes on.
    let refused = get(&server.url(&path));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    let refused = Events::open(&server.url("/revocations"), &[]);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    assert_eq!(get(&server.url(&format!("/revocations?since={start}"))).status, 200);
    assert_eq!(get(&server.url("/jwks.json")).status, 200);
    assert_eq!(figure(&server, "mintgate_feed_refused_total"), 2);
    let signed = figure(&server, "mintgate_feed_documents_total");
    revoke(&server, &jti(1));
    let documents: Vec<String> = held.into_iter().map(|stream| answer(stream).text()).collect();
    assert!(documents.iter().all(|document| *document == documents[0]), "all got the same document");
    assert_eq!(names(&documents[0]), [jti(1)]);
    assert_eq!(figure(&server, "mintgate_feed_documents_total"), signed + 1, "signed once");
    assert_eq!(figure(&server, "mintgate_feed_lag_seconds_count{way=\"long_poll\"}"), FOLLOWERS as u64);
    let worst = "mintgate_feed_lag_seconds_bucket{le=\"10.0\",way=\"long_poll\"}";
    assert_eq!(figure(&server, worst), FOLLOWERS as u64, "within T, by the server's own measure");
}

#[test]
fn a_stream_tells_each_revocation_and_resumes_where_it_was_cut() {
    let server = Server::dev();
    revoke(&server, &jti(1));
    let mut events = Events::open(&server.url("/revocations"), &[]);
    let rows = [
        ("content-type", Some("text/event-stream")),
        ("cache-control", Some("no-store")),
        ("vary", Some("accept")),
        ("x-accel-buffering", Some("no")),
        ("access-control-allow-origin", Some("*")),
    ];
    assert_eq!(events.status, 200);
    for (name, expected) in rows {
        assert_eq!(events.header(name), expected, "{name}");
    }
    let first = events.next().expect("what is known");
    assert_eq!((first.name.as_str(), names(&first.data)), ("revocations", vec![jti(1)]));
    let (header, claims) = peek(&first.data);
    assert_eq!((&header["typ"], claims["to"].as_u64()), (&json!("revocations+jwt"), Some(first.id)));
    assert_eq!(first.id, latest(&server));
    revoke(&server, &jti(2));
    let second = events.next().expect("news");
    assert_eq!((names(&second.data), second.id), (vec![jti(2)], first.id + 1));
    assert_eq!(peek(&second.data).1["from"].as_u64(), Some(first.id), "no gap");
    // Cut in the middle, and three revocations while nobody listens.
    drop(events);
    until("the place is free", || figure(&server, "mintgate_feed_followers{way=\"stream\"}") == 0);
    (3..6).for_each(|n| revoke(&server, &jti(n)));
    // A client of the HTML standard repeats its URL, and says where it was in a header: the header counts.
    let last = second.id.to_string();
    let url = server.url("/revocations?since=0");
    let mut again = Events::open(&url, &[("Last-Event-ID", &last)]);
    let missed = again.next().expect("what was missed");
    assert_eq!(names(&missed.data), [jti(3), jti(4), jti(5)], "nothing twice, nothing lost");
    assert_eq!((peek(&missed.data).1["from"].as_u64(), missed.id), (Some(second.id), second.id + 3));
    let mut elsewhere = Events::open(&server.url(&format!("/revocations?since={}", first.id)), &[]);
    assert_eq!(names(&elsewhere.next().expect("what was missed").data), [jti(2), jti(3), jti(4), jti(5)]);
    for bad in ["x", "-1", ""] {
        assert_eq!(Events::open(&url, &[("Last-Event-ID", bad)]).status, 400, "`{bad}`");
    }
    revoke(&server, &jti(6));
    assert_eq!(names(&again.next().expect("news").data), [jti(6)]);
    assert_eq!(names(&elsewhere.next().expect("news").data), [jti(6)]);
}

#[test]
fn a_stop_ends_those_who_wait_as_http_says() {
    let mut server = Server::dev();
    let start = latest(&server);
    let mut events = Events::open(&server.url("/revocations"), &[]);
    events.next().expect("what is known");
    let held = ask(&server, &format!("/revocations?since={start}&wait=50"));
    until("it is held", || figure(&server, "mintgate_feed_followers{way=\"long_poll\"}") == 1);
    let began = Instant::now();
    server.signal("TERM");
    assert_eq!(answer(held).status, 200, "as if its time were up");
    assert_eq!(events.next(), None, "a last chunk, not a connection that breaks");
    assert_eq!(server.wait(), 0);
    assert!(began.elapsed() < Duration::from_secs(45), "nobody waited for the drain's end: {:?}", began.elapsed());
    assert!(server.log().contains("\"cut_off\":0"), "{}", server.log());
}

#[test]
fn a_quiet_stream_outlives_the_idle_timeout_and_shows_that_it_lives() {
    let server = Server::lasting(|text| configured(text, "limits", "idle_timeout = \"1s\""));
    let mut events = Events::open(&server.url("/revocations"), &[]);
    events.next().expect("what is known");
    let began = Instant::now();
    assert_eq!(events.line().as_deref(), Some(":"), "a comment");
    println!("the first sign of life came after {:?}", began.elapsed());
    revoke(&server, &jti(1));
    assert_eq!(names(&events.next().expect("news").data), [jti(1)]);
}

/// Must-show: many followers, all of them within T, and what each costs.
#[test]
fn two_hundred_streams_hear_of_a_revocation_within_the_stated_time() {
    const FOLLOWERS: usize = 200;
    let server = Server::dev();
    let metadata = get(&server.url("/.well-known/oauth-authorization-server")).json();
    let bound = Duration::from_secs(metadata["mintgate_revocation_latency_max"].as_u64().expect("T"));
    let rss = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0").to_owned();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap_or(0) * 1024
    };
    revoke(&server, &jti(1));
    let before = rss();
    let mut streams: Vec<Events> = (0..FOLLOWERS).map(|_| Events::open(&server.url("/revocations"), &[])).collect();
    for stream in &mut streams {
        assert_eq!(names(&stream.next().expect("what is known").data), [jti(1)]);
    }
    let each = rss().saturating_sub(before) / FOLLOWERS;
    let signed = figure(&server, "mintgate_feed_documents_total");
    let (tell, told) = mpsc::channel();
    for mut stream in streams {
        let tell = tell.clone();
        std::thread::spawn(move || {
            let event = stream.next().expect("news");
            // The stream goes along: open until the end, as followers are.
            tell.send((Instant::now(), event, stream)).expect("somebody listens");
        });
    }
    revoke(&server, &jti(2));
    let acknowledged = Instant::now();
    let (mut worst, mut open) = (Duration::ZERO, Vec::new());
    for _ in 0..FOLLOWERS {
        let (at, event, stream) = told.recv_timeout(bound).expect("all hear of it within T");
        assert_eq!(names(&event.data), [jti(2)]);
        open.push(stream);
        worst = worst.max(at.saturating_duration_since(acknowledged));
    }
    println!("T = {bound:?}; {FOLLOWERS} streams: the last heard {worst:?} after the acknowledgement; {each} B each");
    assert_eq!(figure(&server, "mintgate_feed_documents_total"), signed + 1, "signed once for all of them");
    assert!(each < 100_000, "{each} bytes a follower");
}
