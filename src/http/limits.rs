//! Every bound of the HTTP server, with what happens when it is reached.

use std::time::Duration;

/// Bounds on the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Longest body in bytes; more is answered 413.
    pub body_bytes_max: usize,
    /// Time from the first look at the body to its last byte; later is answered 400 and the connection closed.
    pub body_timeout: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { body_bytes_max: 64 * 1024, body_timeout: Duration::from_secs(10) }
    }
}

/// Bounds of one listener. All are in force: there is no value that means "off".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From the first byte of a request (of a connection: from accept) to the end of its header. Then: closed.
    pub header_timeout: Duration,
    /// Most header fields of a request. More: 431 and closed.
    pub headers_max: usize,
    /// Longest header section in bytes, request line included; 8 KiB at least. More: 431 and closed.
    pub header_bytes_max: usize,
    /// Bounds on bodies; the server enforces none itself, [`extract::read_body`](crate::http::extract) does.
    pub body: BodyLimits,
    /// How long a kept-alive connection may wait for its next request. Then: closed.
    pub idle_timeout: Duration,
    /// How long a peer may refuse to take the bytes of an answer. Then: closed.
    pub write_timeout: Duration,
    /// How long we wait, having said our last byte, for the peer to close (RFC 9112 section 9.6). Then: closed.
    pub linger_timeout: Duration,
    /// Most connections at a time; kept below the limit on open files. More: 503 and closed at once.
    pub connections_max: usize,
    /// Most requests being answered at a time. More: 503 with Retry-After, no work done.
    pub in_flight_max: usize,
    /// Most followers of the revocation feed that are held at a time, waiting or streamed to. They are connections, but not
    /// requests in flight. More: 503 with Retry-After; asking without waiting works on.
    pub followers_max: usize,
    /// Longest TLS handshake. Then: closed.
    pub handshake_timeout: Duration,
    /// Most TLS handshakes at a time. More: closed at once.
    pub handshakes_max: usize,
    /// Most HTTP/2 streams of a connection at a time (RFC 9113 section 5.1.2). More: the stream is refused.
    pub streams_max: u32,
    /// After the shutdown signal: how long new connections and idle ones are still served, each answer carrying
    /// `Connection: close`, so that no request that is already on its way meets a closed door.
    pub drain_grace: Duration,
    /// After the grace: how long requests in flight may take. Then: cut off.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            headers_max: 100,
            header_bytes_max: 16 * 1024,
            body: BodyLimits::default(),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(10),
            linger_timeout: Duration::from_secs(1),
            connections_max: 16_384,
            in_flight_max: 4_096,
            followers_max: 4_096,
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 256,
            streams_max: 100,
            drain_grace: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Open files kept for everything that is not a connection: listeners, state, keys, logs, look-ups.
const FILES_RESERVED: u64 = 64;

/// Raises the soft limit on open files to the hard one: each connection is a file, and the usual soft limit of 1,024
/// was made for programs that use `select`. What cannot be raised stays; [`connections_within_files`] knows it.
pub fn raise_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// `wanted` connections, or as many as the process may hold open: running out of files would stop accepting.
#[must_use]
pub fn connections_within_files(wanted: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    within(wanted, limit.current)
}

fn within(wanted: usize, files_max: Option<u64>) -> usize {
    let room = files_max.map_or(u64::MAX, |files| files.saturating_sub(FILES_RESERVED).max(1));
    wanted.min(usize::try_from(room).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_other_files() {
        let rows = [(16_384, Some(1_024), 960), (100, Some(1_024), 100), (100, None, 100), (100, Some(10), 1)];
        for (wanted, files_max, expected) in rows {
            assert_eq!(within(wanted, files_max), expected, "{wanted} of {files_max:?}");
        }
    }
}
