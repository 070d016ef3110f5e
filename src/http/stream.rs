//! The byte stream of one connection: plain or TLS, and it tells the ledger what it sees.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::http::ledger::{Entry, Phase};

/// Most bytes thrown away while waiting for the peer to close.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection under the ledger's eyes.
pub(super) struct Watched {
    wire: Wire,
    entry: Arc<Entry>,
    /// Bytes thrown away since we closed our half; `None` until then.
    lingered: Option<usize>,
}

impl Watched {
    pub(super) fn new(wire: Wire, entry: Arc<Entry>) -> Self {
        Self { wire, entry, lingered: None }
    }

    fn note<T>(&self, result: &Poll<io::Result<T>>) {
        match result {
            Poll::Pending => self.entry.stalled(),
            Poll::Ready(_) => self.entry.flowing(),
        }
    }

    /// RFC 9112 section 9.6: after our half is closed, read until the peer closes; closing with unread bytes
    /// would send a reset, which can overtake the answer. The ledger ends the wait.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut waste = [0; 4096];
        while self.lingered.is_some_and(|bytes| bytes < LINGER_BYTES_MAX) {
            let mut buffer = ReadBuf::new(&mut waste);
            let result = match &mut self.wire {
                Wire::Plain(stream) => ready!(Pin::new(stream).poll_read(cx, &mut buffer)),
                Wire::Tls(stream) => ready!(Pin::new(stream).poll_read(cx, &mut buffer)),
            };
            let count = buffer.filled().len();
            if result.is_err() || count == 0 {
                break;
            }
            self.lingered = self.lingered.map(|bytes| bytes + count);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        if buffer.filled().len() > before {
            self.entry.received();
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        self.note(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        };
        self.note(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(stream) => stream.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        self.note(&result);
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingered.is_none() {
            let result = match &mut self.wire {
                Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
                Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            };
            self.note(&result);
            ready!(result)?;
            self.lingered = Some(0);
            self.entry.enter(Phase::Lingering);
        }
        self.poll_linger(cx)
    }
}
