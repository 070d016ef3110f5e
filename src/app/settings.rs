//! From the checked configuration to each part's own settings.

use crate::config::{Behind, Config, Durability, LogFormat, LogLevel, Rotation, TokenTyp};
use crate::http::limits::{BodyLimits, Settings as HttpSettings};
use crate::http::tls;
use crate::keys::{self, Automatic, census};
use crate::policy::lifetime::Lifetimes;
use crate::protocol::time::UnixSeconds;
use crate::state::RetryRules;
use crate::store::embedded::Sync;
use crate::telemetry::log;
use crate::token::{Limits, Typ};
use crate::{config, grant, issuer, store};

/// What keys live by.
#[must_use]
pub fn keys(config: &Config) -> keys::Settings {
    keys::Settings {
        directory: config.keys.directory.clone(),
        algorithms: config.keys.algorithms.clone(),
        rotate_every: config.keys.rotate_every,
        publish_ahead: config.keys.publish_ahead,
        token_lifetime_max: config.tokens.lifetime_max,
        family_lifetime_max: config.refresh.absolute_lifetime,
        automatic: match config.keys.rotation {
            Rotation::Automatic => Automatic::On,
            Rotation::Manual => Automatic::Off,
        },
        census: census::Settings {
            verifiers_max: config.keys.verifiers_max,
            forget_after: config.keys.verifiers_forgotten_after,
            wait_max: match config.keys.behind {
                Behind::Wait => config.keys.behind_wait_max,
                Behind::Warn => std::time::Duration::ZERO,
            },
        },
    }
}

/// What the issuer decides with.
#[must_use]
pub fn issuer(config: &Config) -> issuer::Settings {
    issuer::Settings {
        grant: grant::Settings {
            lifetimes: Lifetimes {
                access: config.tokens.access_lifetime,
                idle: config.refresh.idle_lifetime,
                absolute: config.refresh.absolute_lifetime,
            },
            retry: RetryRules { window: config.refresh.retry_window, ..RetryRules::default() },
        },
        algorithm: config.tokens.algorithm,
        typ: match config.tokens.typ {
            TokenTyp::AtJwt => Typ::AtJwt,
            TokenTyp::Jwt => Typ::Jwt,
        },
        limits: Limits::new(config.tokens.lifetime_max),
        password_grant: config.compatibility.password_grant,
        verify: std::sync::Arc::clone(&config.verify),
        status_list: std::sync::Arc::clone(&config.status_list),
    }
}

/// The bounds of the store. One in memory has seen nothing from before `now`; a durable one knows by itself.
#[must_use]
pub fn store(config: &Config, now: UnixSeconds) -> store::Settings {
    let knows_since = if sync(config).is_some() { UnixSeconds(0) } else { now };
    store::Settings { entries_max: config.state.entries_max, knows_since, ..store::Settings::default() }
}

/// When changes go to disk; `None` if they do not.
#[must_use]
pub fn sync(config: &Config) -> Option<Sync> {
    match config.state.durability {
        Durability::Always => Some(Sync::AtOnce),
        Durability::Batch => Some(Sync::Shared),
        Durability::None => None,
    }
}

/// Most memory the state can take with `entries_max` entries of the large kinds, in bytes: families, the larger of them,
/// in tables as loose as they get, and one shard's table twice, while it is rebuilt.
#[must_use]
pub fn state_bytes_max(state: &config::State) -> u64 {
    (state.entries_max as u64).saturating_mul(FAMILY_BYTES_MAX)
}

/// A family in its table, with its share of empty places, at the most.
const FAMILY_BYTES_MAX: u64 = 30;
/// The same for a denied token.
const DENIED_BYTES_MAX: u64 = 12;

/// The worst case of the state's memory, for people.
#[must_use]
pub fn memory_in_words(config: &Config) -> String {
    let state = &config.state;
    let mebibytes = |bytes: u64| (bytes >> 20).saturating_add(1);
    let denied = (state.entries_max as u64).saturating_mul(DENIED_BYTES_MAX);
    let words = format!(
        "state at most {} MiB if all {} entries are families, {} MiB if all are denied tokens",
        mebibytes(state_bytes_max(state)),
        state.entries_max,
        mebibytes(denied)
    );
    match config.status_list.bytes_max(config.tokens.lifetime_max) {
        0 => words,
        lists => format!("{words}; status lists at most {} MiB", mebibytes(lists)),
    }
}

/// The bounds of the listeners.
#[must_use]
pub fn http(config: &Config) -> HttpSettings {
    let limits = &config.limits;
    HttpSettings {
        header_timeout: limits.header_timeout,
        headers_max: limits.headers_max,
        header_bytes_max: limits.header_bytes_max,
        body: BodyLimits { body_bytes_max: limits.body_bytes_max, body_timeout: limits.body_timeout },
        idle_timeout: limits.idle_timeout,
        connections_max: limits.connections_max,
        in_flight_max: limits.in_flight_max,
        followers_max: limits.followers_max,
        drain_timeout: limits.shutdown_grace,
        ..HttpSettings::default()
    }
}

/// Most connections of the admin listener: probes, a scraper and a person.
const ADMIN_CONNECTIONS_MAX: usize = 256;

/// The bounds of the admin listener.
#[must_use]
pub fn admin(config: &Config) -> HttpSettings {
    let limits = http(config);
    HttpSettings { connections_max: limits.connections_max.min(ADMIN_CONNECTIONS_MAX), ..limits }
}

/// TLS, if a certificate is configured.
#[must_use]
pub fn tls(config: &Config) -> Option<tls::Settings> {
    let files = config.tls.as_ref()?;
    Some(tls::Settings { certificate: files.certificate.clone(), key: files.key.clone() })
}

/// The form and depth of the log.
#[must_use]
pub fn log(config: &Config) -> log::Settings {
    log::Settings {
        format: match config.log.format {
            LogFormat::Json => log::Format::Json,
            LogFormat::Text => log::Format::Text,
        },
        level: match config.log.level {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
        .to_owned(),
    }
}

/// What the operator should know about durability, said at every start.
#[must_use]
pub fn durability_in_words(durability: Durability) -> &'static str {
    match durability {
        Durability::Always => {
            "durability = always: a refresh or revocation is answered when it is on disk; what was answered survives a \
             crash and power loss"
        }
        Durability::Batch => {
            "durability = batch: a refresh or revocation waits up to 2 ms for others to share its sync, and is answered \
             when it is on disk; what was answered survives a crash and power loss"
        }
        Durability::None => {
            "durability = none: state is kept in memory; a restart forgets revocations and ends every log-in"
        }
    }
}
