//! The log: one line an event, JSON or text, to stderr, never in the way of a request.
//!
//! Lines are handed to a thread of their own through a bounded queue; when it is full they are dropped and counted.
//! Values are never secrets: the callers see to that, and [`RequestLine`] has no place for one.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// Lines waiting to be written, at most.
const QUEUE_LINES_MAX: usize = 4096;
/// Longest line in bytes; the rest is cut off.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    #[default]
    Json,
    /// For human eyes.
    Text,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// JSON or text.
    pub format: Format,
    /// A level (`info`) or directives (`info,mintgate::request=debug`).
    pub level: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: Format::Json, level: "info".to_owned() }
    }
}

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is neither a level nor directives.
    #[error("log level: {0}")]
    Level(String),
    /// The process has a log already.
    #[error("the log is set up already")]
    Twice,
    /// The writer thread cannot be started.
    #[error("log thread: {0}")]
    Thread(#[from] io::Error),
}

/// The running log. Dropping it writes what is queued and stops the thread.
#[derive(Debug)]
pub struct Log {
    queue: Option<SyncSender<Vec<u8>>>,
    dropped: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Lines dropped because the queue was full.
    #[must_use]
    pub fn lines_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The subscriber lives on and holds its own sender, so the thread is told by an empty line.
        if let Some(queue) = self.queue.take() {
            let _ = queue.send(Vec::new());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts the log of the process, to stderr. Keep the [`Log`] until the end.
///
/// # Errors
/// [`LogError`]; nothing has been set up then.
pub fn start(settings: &Settings) -> Result<Log, LogError> {
    let (subscriber, log) = build(settings, io::stderr())?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    Ok(log)
}

/// The log as a subscriber that writes to `out`; for [`start`], and for tests.
///
/// # Errors
/// As [`start`].
pub fn build(
    settings: &Settings,
    out: impl Write + Send + 'static,
) -> Result<(Box<dyn tracing::Subscriber + Send + Sync>, Log), LogError> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(&settings.level)
        .map_err(|error| LogError::Level(error.to_string()))?;
    let (queue, lines) = sync_channel(QUEUE_LINES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&lines, out))?;
    let writer = Writer { queue: queue.clone(), dropped: Arc::clone(&dropped) };
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        Format::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        Format::Text => layer.boxed(),
    };
    // The registry at the bottom, the layer on it, and the filter before both.
    let subscriber = Registry::default().with(layer).with(filter);
    Ok((Box::new(subscriber), Log { queue: Some(queue), dropped, thread: Some(thread) }))
}

fn write_lines(lines: &Receiver<Vec<u8>>, mut out: impl Write) {
    while let Ok(line) = lines.recv() {
        if line.is_empty() {
            break;
        }
        // A log that cannot be written must not stop the gateway.
        let _ = out.write_all(&line);
    }
    let _ = out.flush();
}

/// Makes one [`Line`] an event.
struct Writer {
    queue: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { writer: self, bytes: Vec::new() }
    }
}

/// A line while it is written; on its way to the thread when dropped.
struct Line<'a> {
    writer: &'a Writer,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        match self.writer.queue.try_send(printable(&self.bytes)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.writer.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The line without control characters, so that no value can forge a line or move a terminal's cursor, and with
/// the newline that ends it.
fn printable(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
    let mut out = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if character.is_control() {
            // The form that JSON reads back, and that a human understands in text.
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        } else {
            out.push(character);
        }
        if out.len() >= LINE_BYTES_MAX {
            out.push('…');
            break;
        }
    }
    out.push('\n');
    out.into_bytes()
}

/// One answered request, as it is logged: target `mintgate::request`; refusals at `info`, failures of ours at
/// `warn`, the rest at `debug`, so that the default log stays quiet and the token path pays nothing for it.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: &'a str,
    /// The route's template; never the path, which may carry anything, nor the query.
    pub route: &'static str,
    /// The status.
    pub status: u16,
    /// From the whole header to the whole answer.
    pub took: Duration,
    /// The client, once it is known.
    pub client_id: Option<&'a str>,
    /// The id of the access token, never the token.
    pub jti: Option<&'a str>,
    /// The family of the refresh token, never the token.
    pub family: Option<&'a str>,
    /// Why it was refused.
    pub reason: Option<&'static str>,
}

impl RequestLine<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    target: "mintgate::request",
                    $level,
                    method = self.method,
                    route = self.route,
                    status = self.status,
                    took_us = u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
                    client_id = self.client_id,
                    jti = self.jti,
                    family = self.family,
                    reason = self.reason,
                )
            };
        }
        match self.status {
            500.. => line!(tracing::Level::WARN),
            400.. => line!(tracing::Level::INFO),
            _ => line!(tracing::Level::DEBUG),
        }
    }
}
