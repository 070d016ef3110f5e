//! One request to the verifier, and its status: all that can be seen from outside.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cli::failure::{Exit, Failure};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where Linux systems keep the certificates they trust.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The status of an answer, or why there was none.
pub type Seen = Result<u16, String>;

/// The verifier to visit.
pub struct Visit {
    authority: String,
    host: String,
    port: u16,
    path: String,
    tls: Option<TlsConnector>,
    method: Method,
    header: HeaderName,
}

/// How to reach it.
pub struct Way<'a> {
    /// `http://...` or `https://...`.
    pub url: &'a str,
    /// GET, or what the route takes.
    pub method: &'a str,
    /// The header that carries the token.
    pub header: &'a str,
    /// PEM: who signed its certificate, if not somebody the system trusts.
    pub ca: Option<&'a PathBuf>,
}

impl Visit {
    /// Reads the address. Asks nobody yet.
    ///
    /// # Errors
    /// `Usage` for an address, a method, a header or a file that cannot be used.
    pub fn new(way: &Way<'_>) -> Result<Self, Failure> {
        let usage = |message: String| Failure::new(Exit::Usage, message);
        let wrong = || usage(format!("{}: expected http://host/path or https://host/path", way.url));
        let uri: Uri = way.url.parse().map_err(|_| wrong())?;
        let (scheme, authority) = (uri.scheme_str().ok_or_else(wrong)?, uri.authority().ok_or_else(wrong)?);
        if authority.as_str().contains('@') {
            return Err(usage("the URL names a user; give the address alone".to_owned()));
        }
        let (tls, port) = match scheme {
            "http" => (None, 80),
            "https" => (Some(connector(way.ca)?), 443),
            _ => return Err(wrong()),
        };
        Ok(Self {
            authority: authority.to_string(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(port),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            tls,
            method: way.method.parse().map_err(|_| usage(format!("--method {}: no HTTP method", way.method)))?,
            header: way.header.parse().map_err(|_| usage(format!("--header {}: no header's name", way.header)))?,
        })
    }

    /// Asks once. `value`: the whole header; `query`: put behind the path.
    ///
    /// # Errors
    /// Why there was no answer: no address, no connection, a certificate that is not trusted, or ten seconds of silence.
    pub async fn ask(&self, value: Option<&str>, query: Option<&str>) -> Seen {
        match tokio::time::timeout(PATIENCE, self.exchange(value, query)).await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn exchange(&self, value: Option<&str>, query: Option<&str>) -> anyhow::Result<u16> {
        let stream = TcpStream::connect(self.address().await?).await?;
        match &self.tls {
            None => self.send(stream, value, query).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone())?;
                self.send(tls.connect(name, stream).await?, value, query).await
            }
        }
    }

    /// Without TLS, only an address of this machine or of a private network.
    async fn address(&self) -> anyhow::Result<SocketAddr> {
        let mut found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        let address = found.next().ok_or_else(|| anyhow::anyhow!("{} has no address", self.host))?;
        anyhow::ensure!(
            self.tls.is_some() || is_near(address.ip()),
            "{} is a public address; over http:// only loopback and private addresses are asked",
            address.ip()
        );
        Ok(address)
    }

    async fn send(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        value: Option<&str>,
        query: Option<&str>,
    ) -> anyhow::Result<u16> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let path = match query {
            None => self.path.clone(),
            Some(query) => format!("{}{}{query}", self.path, if self.path.contains('?') { '&' } else { '?' }),
        };
        let mut request = Request::builder().method(self.method.clone()).uri(path).header(HOST, &self.authority);
        if let Some(value) = value {
            request = request.header(&self.header, HeaderValue::from_str(value)?);
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        Ok(response.status().as_u16())
    }
}

fn is_near(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Trusts the file's certificates; without one, what the system trusts.
fn connector(ca: Option<&PathBuf>) -> Result<TlsConnector, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let system = || SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.is_file());
    let path = ca.map(PathBuf::as_path).or_else(system).ok_or_else(|| {
        usage("this system has no list of trusted certificates".to_owned())
            .hint("name the one that signed the verifier's: --ca FILE")
    })?;
    let unreadable = |error: &dyn std::fmt::Display| usage(format!("{}: {error}", path.display()));
    let mut roots = rustls::RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    if roots.is_empty() {
        return Err(unreadable(&"it holds no certificate in PEM"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_addresses_are_asked_without_tls() {
        for near in ["127.0.0.1", "10.1.2.3", "192.168.0.9", "172.31.0.1", "::1", "fd00::1", "::ffff:127.0.0.1"] {
            assert!(is_near(near.parse().expect(near)), "{near}");
        }
        for far in ["1.1.1.1", "172.32.0.1", "0.0.0.0", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(!is_near(far.parse().expect(far)), "{far}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let way = |url| Way { url, method: "GET", header: "Authorization", ca: None };
        for bad in ["", "localhost", "/path", "ftp://host/", "http://", "http://user@host/", "unix:/x"] {
            assert!(Visit::new(&way(bad)).is_err(), "{bad}");
        }
        let Ok(visit) = Visit::new(&way("http://[::1]:81/a?b=c")) else { panic!("good") };
        assert_eq!((visit.host.as_str(), visit.port, visit.path.as_str()), ("::1", 81, "/a?b=c"));
    }
}
