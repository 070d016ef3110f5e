//! TLS with certificates made for the test by the `openssl` command.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use mintgate::http::limits::Settings;
use mintgate::http::tls::{self, Tls, TlsError};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::{GET, PATIENCE, Running, ask, eventually};

/// A directory that is gone when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mintgate-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> tls::Settings {
        tls::Settings { certificate: self.0.join("cert.pem"), key: self.0.join("key.pem") }
    }

    /// Makes a key and a certificate for `localhost`; `None` (loudly) where there is no openssl.
    fn certify(&self) -> Option<()> {
        let files = self.files();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&files.key)
            .arg("-out")
            .arg(&files.certificate)
            .output();
        let Ok(output) = made else {
            eprintln!("SKIPPED: no openssl command, so TLS is not tested");
            return None;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        protect(&files.key, 0o600);
        Some(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn protect(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Connects, trusting exactly the certificate in the file now; `alpn` is what the client offers.
async fn connect(
    running: &Running,
    certificate: &Path,
    alpn: &[&[u8]],
) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, running.connect().await).await
}

#[tokio::test]
async fn serves_by_tls_and_takes_a_new_certificate_without_a_restart() {
    let scratch = Scratch::new("reload");
    if scratch.certify().is_none() {
        return;
    }
    let files = scratch.files();
    let first = scratch.0.join("first.pem");
    std::fs::copy(&files.certificate, &first).unwrap();
    let tls = Arc::new(Tls::load(files.clone()).unwrap());
    let running = Running::start_with(Settings::default(), Some(Arc::clone(&tls)));

    let mut stream = connect(&running, &first, &[b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let both = connect(&running, &first, &[b"http/1.1", b"h2"]).await.unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()), "ours to choose: HTTP/2");

    // A broken reload changes nothing.
    let key = std::fs::read(&files.key).unwrap();
    std::fs::write(&files.key, "no key").unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Malformed { .. })));
    std::fs::write(&files.key, key).unwrap();
    assert!(connect(&running, &first, &[]).await.is_ok());

    // A whole one is seen by the next connection.
    scratch.certify().unwrap();
    tls.reload().unwrap();
    assert!(connect(&running, &first, &[]).await.is_err(), "the old certificate is gone");
    assert!(connect(&running, &files.certificate, &[]).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_the_reason() {
    let scratch = Scratch::new("refused");
    if scratch.certify().is_none() {
        return;
    }
    let files = scratch.files();
    let other = Scratch::new("refused-other");
    other.certify().unwrap();

    protect(&files.key, 0o644);
    assert!(matches!(Tls::load(files.clone()), Err(TlsError::Exposed { mode: 0o644, .. })));
    protect(&files.key, 0o640);
    assert!(Tls::load(files.clone()).is_ok());

    let strange = tls::Settings { key: other.files().key, ..files.clone() };
    assert!(matches!(Tls::load(strange), Err(TlsError::Refused(_))), "a key of another certificate");
    let absent = tls::Settings { certificate: scratch.0.join("absent"), ..files.clone() };
    assert!(matches!(Tls::load(absent), Err(TlsError::Unreadable { .. })));
    let swapped = tls::Settings { certificate: files.key.clone(), ..files.clone() };
    let refused = Tls::load(swapped).unwrap_err();
    assert!(refused.to_string().contains("no certificate"), "{refused}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_off_and_they_are_bounded_in_number() {
    let scratch = Scratch::new("slow");
    if scratch.certify().is_none() {
        return;
    }
    let files = scratch.files();
    let settings = Settings { handshake_timeout: Duration::from_millis(300), handshakes_max: 1, ..Settings::default() };
    let tls = Arc::new(Tls::load(files.clone()).unwrap());
    let running = Running::start_with(settings, Some(tls));
    let mut silent = running.connect().await;
    eventually("the first handshake has begun", || running.traffic.connections.get() == 1).await;
    let mut crowded = running.connect().await;
    let mut byte = [0];
    for stream in [&mut crowded, &mut silent] {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut byte)).await.expect("closed");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    eventually("both are counted", || running.traffic.handshakes_failed.get() == 2).await;
    assert!(connect(&running, &files.certificate, &[]).await.is_ok(), "there is room again");
    // Plain HTTP at a TLS port is no way in.
    let mut plain = running.connect().await;
    let answered = tokio::spawn(async move { ask(&mut plain, GET).await }).await;
    assert!(answered.is_err());
}
