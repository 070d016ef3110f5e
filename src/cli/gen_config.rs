//! `mintgate gen-config`: working configuration for those who protect a route with mintgate.

mod service;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hyper::header::HeaderName;

use crate::cli::Context;
use crate::cli::failure::{Exit, Failure};
use crate::client::file::check_audience;
use crate::config::Config;
use crate::protocol::scope::Scope;

/// Whom to configure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// nginx with auth_request
    Nginx,
    /// HAProxy; it loads the script of `haproxy-lua`
    Haproxy,
    /// The script that `haproxy` loads
    HaproxyLua,
    /// Caddy with forward_auth
    Caddy,
    /// Envoy with ext_authz over HTTP
    Envoy,
    /// Traefik with ForwardAuth
    Traefik,
    /// Kong with a pre-function that asks
    Kong,
    /// Istio: its sidecars verify by themselves
    Istio,
    /// Apache; it loads the script of `apache-lua`
    Apache,
    /// The script that `apache` loads
    ApacheLua,
    /// Django REST framework: an authentication class, a permission class
    Drf,
    /// Express: a middleware that follows the revocation feed
    Express,
    /// Go: a middleware for net/http
    Go,
    /// Spring Boot: application.yml; it needs the class of `spring-java`
    Spring,
    /// The class that `spring` needs
    SpringJava,
    /// Rust: a whole service with the verifier library, which follows the revocation feed
    Rust,
    /// Variables for a service that reads its environment
    Env,
}

impl Target {
    fn template(self) -> &'static str {
        match self {
            Self::Nginx => include_str!("gen_config/nginx.conf"),
            Self::Haproxy => include_str!("gen_config/haproxy.cfg"),
            Self::HaproxyLua => include_str!("gen_config/haproxy.lua"),
            Self::Traefik => include_str!("gen_config/traefik.yaml"),
            Self::Kong => include_str!("gen_config/kong.yaml"),
            Self::Istio => include_str!("gen_config/istio.yaml"),
            Self::Caddy => include_str!("gen_config/Caddyfile"),
            Self::Apache => include_str!("gen_config/apache.conf"),
            Self::ApacheLua => include_str!("gen_config/apache.lua"),
            Self::Envoy => include_str!("gen_config/envoy.yaml"),
            Self::Drf => include_str!("gen_config/drf.py"),
            Self::Express => include_str!("gen_config/express.mjs"),
            Self::Go => include_str!("gen_config/mintgate.go"),
            Self::Spring => include_str!("gen_config/spring.yml"),
            Self::SpringJava => include_str!("gen_config/MintgateSecurity.java"),
            Self::Rust => include_str!("gen_config/orders.rs.template"),
            Self::Env => include_str!("gen_config/env.sh"),
        }
    }
}

/// For whom, and where things are.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// For whom
    pub target: Target,
    /// The audience the route demands; the default is `verify.audience`, then `tokens.audience`
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: Option<String>,
    /// The scope the route demands
    #[arg(long, value_name = "SCOPE", default_value = "")]
    pub scope: String,
    /// Where the proxy or service reaches mintgate; the default is the public listener for a proxy, the issuer for a service
    #[arg(long, value_name = "ADDR")]
    pub gateway: Option<String>,
    /// Where the proxy listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    pub listen: String,
    /// Where the protected application is
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub upstream: String,
    /// Where HAProxy or Apache finds the script; the default is beside its own configuration
    #[arg(long, value_name = "FILE")]
    pub lua_file: Option<String>,
}

/// Prints the configuration.
///
/// # Errors
/// `Usage` if no audience is known, or a value cannot stand in a configuration file.
pub fn run(args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    let config = super::config::load(context)?.config;
    let text = render(args, &config)?;
    if context.json {
        return context.output.json(&serde_json::json!({ "configuration": text }));
    }
    context.output.line(text.trim_end())
}

fn render(args: &Args, config: &Config) -> Result<String, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let configured = config.verify.audience.clone().or(config.tokens.audience.as_ref().map(|own| own.to_string()));
    let audience = args.audience.clone().or(configured).ok_or_else(|| {
        usage("no audience is configured".to_owned())
            .hint("say which the route demands: --audience https://api.example")
    })?;
    check_audience(&audience).map_err(|why| usage(format!("--audience: {why}")))?;
    let scope: Scope = args.scope.parse().map_err(|why| usage(format!("--scope: {why}")))?;
    let gateway = args.gateway.clone().unwrap_or_else(|| reachable(config.listen.public).to_string());
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let (gateway_host, gateway_port) = host_and_port("--gateway", &gateway)?;
    let (listen_host, listen_port) = host_and_port("--listen", &args.listen)?;
    let (upstream_host, upstream_port) = host_and_port("--upstream", &args.upstream)?;
    let lua_file = args.lua_file.as_deref().unwrap_or(match args.target {
        Target::Apache => "/etc/apache2/mintgate.lua",
        _ => "/etc/haproxy/mintgate.lua",
    });
    if lua_file.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'#\\".contains(c)) {
        return Err(usage("--lua-file: a path without blanks and quotes".to_owned()));
    }
    let mut query = format!("aud={}", escaped(&audience));
    if !scope.is_empty() {
        query.push_str(&format!("&scope={}", escaped(scope.as_str())));
    }
    let sent: Vec<&str> =
        ["authorization"].into_iter().chain(config.verify.cookie.as_ref().map(|_| "cookie")).collect();
    let quoted: Vec<String> = sent.iter().map(|name| format!("\"{name}\"")).collect();
    let exact: Vec<String> = sent.iter().map(|name| format!("{{ exact: {name} }}")).collect();
    let cookie_line = config.verify.cookie.as_ref().map_or("", |_| "        proxy_set_header Cookie $http_cookie;\n");
    let mut values: Vec<(String, String)> = [
        ("gateway", gateway.as_str()),
        ("gateway_url", &format!("{scheme}://{gateway}")),
        ("gateway_host", &gateway_host),
        ("gateway_port", &gateway_port),
        ("scheme", scheme),
        ("listen", &args.listen),
        ("listen_host", &listen_host),
        ("listen_port", &listen_port),
        ("upstream", &args.upstream),
        ("upstream_host", &upstream_host),
        ("upstream_port", &upstream_port),
        ("query", &query),
        ("lua_file", lua_file),
        ("lua_sent", &quoted.join(", ")),
        ("envoy_sent", &exact.join(", ")),
        ("cookie_line", cookie_line),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    if let Some(own) = service::values(args, config, &audience, &scope)? {
        values.extend(own);
    }
    let names = &config.verify.headers;
    for (what, header) in
        [("subject", &names.subject), ("client", &names.client), ("scope", &names.scope), ("expires", &names.expires)]
    {
        values.push((format!("{what}_header"), spelled(header)));
        values.push((format!("{what}_lower"), header.as_str().to_owned()));
        values.push((format!("{what}_variable"), header.as_str().replace('-', "_")));
    }
    values.push(("mesh_sent".to_owned(), sent.join(", ")));
    values.extend(mesh(&config.issuer, &audience, &scope).map(|(name, value)| (name.to_owned(), value)));
    let mut text = args.target.template().to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{{{name}}}}}"), &value);
    }
    Ok(text)
}

/// What a mesh needs that verifies by itself, as strings in YAML, which are those of JSON.
fn mesh(issuer: &str, audience: &str, scope: &Scope) -> [(&'static str, String); 5] {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let condition =
        |token: &str| format!("        - {{ key: \"request.auth.claims[scope]\", values: [{}] }}\n", quoted(token));
    let conditions: String = scope.as_str().split(' ').filter(|token| !token.is_empty()).map(condition).collect();
    let when = if conditions.is_empty() { conditions } else { format!("      when:\n{conditions}") };
    [
        ("issuer_quoted", quoted(issuer)),
        ("jwks_quoted", quoted(&format!("{}/jwks.json", issuer.trim_end_matches('/')))),
        ("audience_quoted", quoted(audience)),
        ("principals_quoted", quoted(&format!("{issuer}/*"))),
        ("istio_scopes", when),
    ]
}

/// An address a proxy on the same machine can connect to.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port());
    }
    listen
}

fn host_and_port(flag: &str, text: &str) -> Result<(String, String), Failure> {
    let wrong = || Failure::new(Exit::Usage, format!("{flag}: expected host:port, as 127.0.0.1:8080"));
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if host.is_empty() || !host.chars().all(plain) || port.parse::<u16>().is_err() {
        return Err(wrong());
    }
    Ok((host.trim_matches(['[', ']']).to_owned(), port.to_owned()))
}

/// As a value in a query (RFC 3986 section 3.4), with nothing that means something in a configuration file.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' | b'/' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// A header as people write it: `X-Auth-Subject`.
fn spelled(name: &HeaderName) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    name.as_str().split('-').map(word).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_means_something_elsewhere_survives() {
        assert_eq!(
            escaped("https://api.example/a?b=c&d;{}$x %"),
            "https://api.example/a%3Fb%3Dc%26d%3B%7B%7D%24x%20%25"
        );
        assert_eq!(spelled(&HeaderName::from_static("x-auth-subject")), "X-Auth-Subject");
        for bad in ["", "a", "a:b", ":80", "a b:80", "a;b:80", "a:70000", "a{:80"] {
            assert!(host_and_port("--listen", bad).is_err(), "{bad}");
        }
        assert_eq!(host_and_port("--listen", "[::1]:80").ok(), Some(("::1".to_owned(), "80".to_owned())));
    }
}
