//! The issuer identifier: what every verifier compares byte by byte.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Checks an issuer identifier: `https`, or `http` on this machine alone; no query, no fragment (RFC 8414 section 2).
///
/// # Errors
/// A sentence that follows the words "the issuer".
pub fn check_issuer(issuer: &str) -> Result<(), String> {
    if !issuer.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) || issuer.contains(['"', '\\', '<', '>']) {
        return Err("is a URL: visible ASCII, no white space".to_owned());
    }
    let (secure, rest) = match (issuer.strip_prefix("https://"), issuer.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err("starts with https://, in lower case".to_owned()),
    };
    // RFC 8414 section 2: no query or fragment components.
    if rest.contains(['?', '#']) {
        return Err("has no query and no fragment (RFC 8414 section 2)".to_owned());
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let host = host_of(authority)?;
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("has its host in lower case: verifiers compare byte by byte".to_owned());
    }
    if !secure && !is_loopback(host) {
        return Err("starts with https://; http:// is for 127.0.0.0/8, [::1] and localhost only".to_owned());
    }
    if rest.contains("//") || rest.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("has no empty, `.` or `..` segment in its path".to_owned());
    }
    Ok(())
}

/// The host of `host`, `host:port` or `[v6]:port`.
fn host_of(authority: &str) -> Result<&str, String> {
    if authority.contains('@') {
        return Err("has no user name in it".to_owned());
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inside, port) = rest.split_once(']').ok_or("has a `[` without its `]`")?;
            inside.parse::<Ipv6Addr>().map_err(|_| "has no IPv6 address between its brackets")?;
            (inside, port)
        }
        None => authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon)),
    };
    let port_is_good = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|digits| !digits.starts_with(['0', '+']) && digits.parse::<u16>().is_ok());
    if host.is_empty() || !port_is_good {
        return Err("has a host, and a port of 1 to 65535 if any".to_owned());
    }
    Ok(host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers() {
        for good in [
            "https://auth.example",
            "https://auth.example:8443/tenant/a",
            "https://auth.example/",
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://[::1]:8080",
            "http://localhost:8080",
            "https://[2001:db8::1]",
        ] {
            assert_eq!(check_issuer(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "auth.example",
            "HTTPS://auth.example",
            "https://Auth.example",
            "http://auth.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "http://[::]",
            "https://",
            "https:///path",
            "https://auth.example?x",
            "https://auth.example/?x=1",
            "https://auth.example#x",
            "https://auth.example:0",
            "https://auth.example:65536",
            "https://auth.example:",
            "https://[::1",
            "https://auth.example//a",
            "https://auth.example/a/../b",
            "https://auth.example/a b",
            "ftp://auth.example",
        ] {
            assert!(check_issuer(bad).is_err(), "{bad}");
        }
    }
}
