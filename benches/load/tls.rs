//! A certificate for one run, and both ends of TLS that trust it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub struct Certificate {
    directory: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Certificate {
    /// Made by the openssl command; `None`, loudly, where there is none.
    pub fn make() -> Option<Self> {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("load-tls-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let made = Self { certificate: directory.join("cert.pem"), key: directory.join("key.pem"), directory };
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&made.key)
            .arg("-out")
            .arg(&made.certificate)
            .output();
        match output {
            Ok(output) if output.status.success() => {
                use std::os::unix::fs::PermissionsExt as _;
                std::fs::set_permissions(&made.key, std::fs::Permissions::from_mode(0o600)).unwrap();
                Some(made)
            }
            other => {
                eprintln!("skipped: openssl makes no certificate: {other:?}");
                None
            }
        }
    }

    pub fn connector(&self) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.certificate).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
