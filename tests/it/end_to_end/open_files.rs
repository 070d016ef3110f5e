//! A server that runs out of files (EMFILE), because more clients connect than it may have files open.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::crash::{self, gateway_with, log_in, refresh, verify};
use crate::support::http::{Answer, encode_form, read_answer};
use crate::support::server::{Server, binary, configured, until};

/// Of these 64 are kept for other files and the rest is given to each of the two listeners: together they want more
/// than there is.
const FILES: u32 = 160;

/// One kept-alive connection.
struct Line(BufReader<TcpStream>);

impl Line {
    fn open(url: &str) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, request: &str) -> Answer {
        self.0.get_mut().write_all(request.as_bytes()).expect("sent");
        read_answer(&mut self.0, false).expect("an answer on a connection that was open before")
    }

    fn get(&mut self, path: &str, header: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n"))
    }

    fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let body = encode_form(form);
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

/// Processor time of the process, in hundredths of a second.
fn processor_time(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
}

#[test]
fn out_of_files_the_open_connections_are_served_and_nothing_is_lost() {
    let (mut server, _) = gateway_with(|text| configured(text, "refresh", "retry_window = \"0s\""));
    let mut limited = Command::new("sh");
    let script = format!("ulimit -n {FILES} && exec \"$0\" serve --json --config \"$1\"");
    limited.args(["-c", &script, binary(), server.config()]);
    server.kill_and_start_by(limited);
    let url = server.url("");
    let (used, revoked) = (log_in(&url), log_in(&url));
    let (mut public, mut admin) = (Line::open(&url), Line::open(&server.admin("")));
    assert_eq!(public.get("/jwks.json", "").status, 200);
    assert_eq!(admin.get("/health/live", "").status, 200);

    // Silent connections: they are cut off after ten seconds, and all that follows takes one or two.
    let flood: Vec<TcpStream> = [url.as_str(), &server.admin("")]
        .iter()
        .flat_map(|url| (0..2 * FILES).filter_map(|_| TcpStream::connect(url.trim_start_matches("http://")).ok()))
        .collect();
    until("it has no files left", || server.log().contains("cannot accept connections"));
    let before = processor_time(&server);
    std::thread::sleep(Duration::from_secs(1));
    let spent = processor_time(&server) - before;
    assert!(spent < 40, "{spent} hundredths of a second in one: it spins");
    assert!(server.log().matches("cannot accept connections").count() <= 4, "it says so once: {}", server.log());

    // Refresh, revoke, verify, on the connections that are open.
    let form = [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", &used.token)];
    let answer = public.post("/token", &form);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (successor, access) = (answer.member("refresh_token"), answer.member("access_token"));
    let answer = public.post("/revoke", &[("client_id", "app"), ("token", &revoked.token)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let bearer = format!("Authorization: Bearer {access}\r\n");
    assert_eq!(public.get("/verify?aud=https://api.example", &bearer).status, 200);
    assert_eq!(public.get("/jwks.json", "").status, 200);
    let ready = admin.get("/health/ready", "");
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert!(TcpStream::connect(url.trim_start_matches("http://")).is_ok(), "the kernel still takes them");

    // It heals when they go, and what was acknowledged meanwhile survives a kill.
    drop(flood);
    until("new connections are served", || crash::ask(&url, "/token", &[]).is_some_and(|answer| answer.status == 401));
    assert_eq!(verify(&server, &access), 200);
    let command = crash::serve(&server);
    server.kill_and_start_by(command);
    until("ready", || crash::is_ready(&server));
    let url = server.url("");
    assert_eq!(refresh(&url, &revoked.token).expect("an answer").status, 400);
    assert_eq!(refresh(&url, &successor).expect("an answer").status, 200);
    assert_eq!(refresh(&url, &used.token).expect("an answer").status, 400);
}
