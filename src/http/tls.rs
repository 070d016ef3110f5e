//! TLS 1.2 and 1.3 by rustls on ring, from PEM files, replaced as a whole while the server runs.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

/// Longest certificate or key file in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// PEM: our certificate first, then the intermediate ones.
    pub certificate: PathBuf,
    /// PEM: the private key; PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Why TLS cannot be set up. The text names files and never shows their content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key can be read by everybody on this machine.
    #[error("{path}: the private key is readable by others (mode {mode:o}); run: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not what it should be.
    #[error("{path}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// The certificate and the key do not belong together, or rustls refuses them.
    #[error("certificate and key cannot be used: {0}")]
    Refused(#[from] rustls::Error),
}

/// The TLS side of a listener.
pub struct Tls {
    settings: Settings,
    tickets: Arc<dyn ProducesTickets>,
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`TlsError`] says which file and why.
    pub fn load(settings: Settings) -> Result<Self, TlsError> {
        let tickets = rustls::crypto::ring::Ticketer::new()?;
        let config = read(&settings, &tickets)?;
        Ok(Self { settings, tickets, current: ArcSwap::from_pointee(config) })
    }

    /// Reads both files again. New connections get the new certificate, open ones keep theirs.
    ///
    /// # Errors
    /// As [`Tls::load`]; then nothing has changed.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = read(&self.settings, &self.tickets)?;
        self.current.store(Arc::new(config));
        Ok(())
    }

    /// Does the handshake.
    ///
    /// # Errors
    /// Whatever the peer did wrong; nobody but the peer needs to know.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.current.load_full()).accept(stream).await
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn read(settings: &Settings, tickets: &Arc<dyn ProducesTickets>) -> Result<ServerConfig, TlsError> {
    let malformed = |path: &Path, problem| TlsError::Malformed { path: path.to_owned(), problem };
    let pem = contents(&settings.certificate, |_| Ok(()))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| malformed(&settings.certificate, "not a PEM file"))?;
    if chain.is_empty() {
        return Err(malformed(&settings.certificate, "no certificate in it"));
    }
    let pem = contents(&settings.key, |file| unexposed(file, &settings.key))?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        malformed(&settings.key, "no private key in PEM form in it (an encrypted one is not supported)")
    })?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets travel with the client, so that resumption costs no memory here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::clone(tickets);
    // RFC 8446 section 8: early data can be replayed; a token request must not be.
    config.max_early_data_size = 0;
    Ok(config)
}

fn contents(path: &Path, check: impl FnOnce(&File) -> Result<(), TlsError>) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    check(&file)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// A key that everybody can read is no key. Group access is left alone: container platforms mount keys that way.
fn unexposed(file: &File, path: &Path) -> Result<(), TlsError> {
    let metadata = file.metadata().map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(TlsError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}
