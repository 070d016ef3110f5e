//! The log: parseable, unforgeable, quiet by default.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mintgate::telemetry::log::{Format, RequestLine, Settings, build};

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the log holds after `events`.
fn logged(format: Format, level: &str, events: impl FnOnce()) -> String {
    let paper = Paper::default();
    let (subscriber, log) = build(&Settings { format, level: level.into() }, paper.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, events);
    drop(log);
    let bytes = paper.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

const LINE: RequestLine<'static> = RequestLine {
    method: "POST",
    route: "/token",
    status: 400,
    took: Duration::from_micros(1500),
    client_id: Some("web"),
    jti: None,
    family: Some("fam"),
    reason: Some("reused"),
};

#[test]
fn a_refusal_is_one_json_object() {
    let text = logged(Format::Json, "info", || LINE.emit());
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    for (name, value) in [("route", "/token"), ("client_id", "web"), ("family", "fam"), ("reason", "reused")] {
        assert_eq!(line[name], value, "{text}");
    }
    assert_eq!((&line["status"], &line["took_us"]), (&400.into(), &1500.into()));
    assert!(line.get("jti").is_none(), "what is not known is not there: {text}");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{text}");
}

#[test]
fn the_default_log_is_quiet_about_success() {
    let events = || {
        RequestLine { status: 200, ..LINE }.emit();
        RequestLine { status: 503, ..LINE }.emit();
    };
    assert_eq!(logged(Format::Json, "info", events).lines().count(), 1);
    assert_eq!(logged(Format::Json, "info,mintgate::request=debug", events).lines().count(), 2);
    assert_eq!(logged(Format::Json, "error", events), "");
}

#[test]
fn no_value_can_forge_a_line_or_reach_the_terminal() {
    let hostile = "a\r\nERROR forged\u{1b}[31m\u{9b}2J\u{7f}\0\u{85}";
    for format in [Format::Json, Format::Text] {
        let text = logged(format, "info", || {
            RequestLine { client_id: Some(hostile), ..LINE }.emit();
            tracing::info!("{hostile}");
            tracing::info!(name = %hostile, other = ?hostile, "message");
        });
        assert_eq!(text.lines().count(), 3, "{format:?}: {text}");
        let raw = text.chars().find(|character| character.is_control() && *character != '\n');
        assert_eq!(raw, None, "{format:?}: {text:?}");
        if format == Format::Json {
            assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{text}");
        }
    }
}

#[test]
fn a_level_that_is_none_is_an_error() {
    assert!(build(&Settings { level: "info,=x=".into(), ..Settings::default() }, io::sink()).is_err());
}
