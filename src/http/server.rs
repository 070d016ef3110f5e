//! Accepts connections, serves HTTP/1.1 and HTTP/2 on them within the limits, and stops without losing a request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use crate::ambient::Clock;
use crate::http::Handler;
use crate::http::connection::{Counted, Shared, connection};
use crate::http::ledger::Ledger;
use crate::http::limits::Settings;
use crate::http::tls::Tls;
use crate::telemetry::metrics::Traffic;

/// Connections the kernel keeps for us until we accept them.
const BACKLOG: u32 = 4096;
/// How long we wait when accepting fails for want of files or memory: trying at once would only spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// What a refused connection is told, if it may be told anything.
const CROWDED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Binds a listener with a deep backlog, free to bind again at once after a restart.
///
/// # Errors
/// As the system says: address in use, not ours, or a port we may not have.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off because the drain deadline passed.
    pub cut_off: usize,
}

/// One listener and what it needs.
pub struct Server {
    /// Where connections come from.
    pub listener: TcpListener,
    /// TLS, if this listener speaks it.
    pub tls: Option<Arc<Tls>>,
    /// The bounds.
    pub settings: Settings,
    /// For the deadlines; its monotonic time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub traffic: Traffic,
}

impl Server {
    /// Serves until `shutdown` turns true (or its sender is gone), then drains:
    ///
    /// 1. For `drain_grace` connections are still accepted and requests served, each HTTP/1 answer with
    ///    `Connection: close`, each HTTP/2 connection with GOAWAY: whoever is told moves on.
    /// 2. The listener is closed. Connections that stayed silent for the grace are closed.
    /// 3. For `drain_timeout` at most, requests in flight finish.
    pub async fn serve(self, handler: impl Handler, mut shutdown: watch::Receiver<bool>) -> Drained {
        let ledger = Ledger::new(self.clock);
        let settings = self.settings.clone();
        let shared = Arc::new(Shared::new(handler, self.tls, self.settings, self.traffic));
        let connections_max = shared.connections_max;
        if connections_max < settings.connections_max {
            tracing::warn!(connections_max, "fewer connections than configured: the limit on open files is too low");
        }
        let listener = self.listener;
        let mut accepting = Accepting { ledger: Arc::clone(&ledger), shared, next_id: 0, short: false };
        let judge = ledger.judge_forever(&settings);
        let work = async {
            tokio::select! {
                () = accepting.forever(&listener) => {}
                _ = shutdown.wait_for(|stop| *stop) => {}
            }
            ledger.drain();
            // Elapsing is what ends the grace; accepting never ends by itself.
            let _ = tokio::time::timeout(settings.drain_grace, accepting.forever(&listener)).await;
            accepting.finish(listener);
            let patience = settings.drain_grace + settings.drain_timeout;
            let cut_off = match tokio::time::timeout(patience, ledger.emptied()).await {
                Ok(()) => 0,
                Err(_) => ledger.len(),
            };
            ledger.close_all();
            let _ = tokio::time::timeout(Duration::from_secs(1), ledger.emptied()).await;
            Drained { cut_off }
        };
        tokio::select! {
            drained = work => drained,
            // Never: the judge runs until it is dropped.
            () = judge => Drained { cut_off: 0 },
        }
    }
}

/// Lets connections in.
struct Accepting<H> {
    ledger: Arc<Ledger>,
    shared: Arc<Shared<H>>,
    next_id: u64,
    /// The last attempt failed for want of files or memory; said once, not ten times a second.
    short: bool,
}

impl<H: Handler> Accepting<H> {
    async fn forever(&mut self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    self.short = false;
                    self.admit(stream, address);
                }
                Err(error) if is_shortage(&error) => {
                    if !self.short {
                        tracing::warn!(%error, "cannot accept connections; those that are open are served");
                    }
                    self.short = true;
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
                // Everything else concerns the one connection that was about to be accepted.
                Err(_) => {}
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, address: SocketAddr) {
        let traffic = &self.shared.traffic;
        if self.ledger.len() >= self.shared.connections_max {
            traffic.connections_refused.inc();
            if self.shared.tls.is_none() {
                // One attempt that cannot block; the connection is closed either way.
                let _ = stream.try_write(CROWDED);
            }
            return;
        }
        // An answer goes out in one piece and must not wait for more to come; a failure costs only latency.
        let _ = stream.set_nodelay(true);
        let opened = self.ledger.open(self.next_id);
        self.next_id += 1;
        let counted = Counted::new(&self.shared, opened);
        tokio::spawn(connection(counted, stream, address));
    }

    /// Takes what the kernel has accepted for us already, then closes the listener: closing it first would reset
    /// connections whose clients believe to be through.
    fn finish(&mut self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..BACKLOG {
            let Ok((stream, address)) = listener.accept() else { break };
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.admit(stream, address);
            }
        }
    }
}

/// Whether accepting failed for want of something that trying again at once will not bring.
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error)
        .is_some_and(|errno| matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shortage_makes_us_wait() {
        use rustix::io::Errno;
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOBUFS, true),
            (Errno::NOMEM, true),
            (Errno::CONNABORTED, false),
            (Errno::INTR, false),
        ] {
            assert_eq!(is_shortage(&errno.into()), expected, "{errno:?}");
        }
    }
}
