//! The configuration file that `mintgate init` writes.

use std::net::SocketAddr;

/// The commented `mintgate.toml` of a new gateway. Loads as it is, and says what the defaults are.
#[must_use]
pub fn template(issuer: &str, public: SocketAddr, admin: SocketAddr) -> String {
    // A JSON string is a TOML basic string, so nothing in an issuer can break out of its quotes.
    let issuer = serde_json::Value::from(issuer);
    format!(
        r#"# mintgate. Every value but the issuer may be left out; what stands behind a # is the default.
# `mintgate config check` says what is wrong, `mintgate config show --origin` where each value comes from.
# MINTGATE_SECTION_KEY in the environment wins over this file: MINTGATE_LISTEN_PUBLIC=127.0.0.1:8080.
# Relative paths start at this file's directory.

# The URL verifiers know this gateway by: `iss` in every token, compared byte by byte.
issuer = {issuer}

[listen]
public = "{public}"
admin = "{admin}"                # health, metrics: keep it private

[tokens]
# algorithm = "ES256"            # ES256, ES384, EdDSA; RS256 with an imported key
# access_lifetime = "5m"         # short: this is how long a stolen token works
# typ = "at+jwt"                 # "JWT" for verifiers that take nothing else
# audience = "https://api.example"   # for clients added without --audience

[refresh]
# idle_lifetime = "14d"          # unused for this long: log in again
# absolute_lifetime = "90d"      # log in again after this, whatever happens
# retry_window = "10s"           # a lost answer may be asked for again; 0s turns this off

[keys]
directory = "keys"
# rotate_every = "30d"
# publish_ahead = "1h"           # verifiers see a key this long before it signs
# behind = "wait"                # for verifiers (/jwks.json?v=NAME) that lack it, a day at most; or "warn"

[state]
directory = "state"
# durability = "always"          # always, batch, none
# entries_max = 100_000_000

[users]
file = "users.toml"              # `mintgate users add NAME`
                                 # or from a database, read only: docs/django.md

[clients]
file = "clients.toml"            # `mintgate clients add ID --grant client_credentials`

# [verify]                       # /verify, for proxies: `mintgate gen-config nginx`, docs/verifiers.md
# audience = "https://api.example"   # of requests that name none: /verify?aud=...&scope=...

# [status_list]                  # IETF Token Status Lists, beside the revocation feed; off
# audiences = ["https://api.example"]   # whose access tokens have a place in one

# [tls]                          # without it, TLS ends at a proxy in front
# certificate = "tls.crt"
# key = "tls.key"

[log]
# format = "json"                # or "text"
# level = "info"                 # error, warn, info, debug, trace
"#
    )
}
