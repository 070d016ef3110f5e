//! From written to checked: every setting, its default, its bounds, and what must fit together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use crate::client::file::{ACCESS_LIFETIME_MAX, check_audience};
use crate::config::error::{ConfigError, Problem};
use crate::config::issuer::check_issuer;
use crate::config::read::Reader;
use crate::config::{
    Behind, Clients, Compatibility, Config, Durability, Inputs, Keys, Limits, Listen, Loaded, Log, LogFormat, LogLevel,
    Login, Refresh, Rotation, State, Tls, TokenTyp, Tokens, status_list, users, verify, written,
};
use crate::protocol::algorithm::Algorithm;
use crate::protocol::id::Audience;
use crate::protocol::time::format_span;
use crate::user::hash::HashSettings;
use crate::user::phc::Cost;
use crate::user::slowdown::SlowdownSettings;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Checks the text of the file with what stands above it.
pub(crate) fn check(path: &Path, text: &str, inputs: &Inputs) -> Result<Loaded, ConfigError> {
    let mut reader = Reader::new(path, text, written::parse(text), inputs);
    let issuer = issuer(&mut reader);
    let listen = listen(&mut reader);
    let tokens = tokens(&mut reader);
    let config = Config {
        file: path.to_owned(),
        issuer,
        listen,
        refresh: refresh(&mut reader, &tokens),
        keys: keys(&mut reader, &tokens),
        tokens,
        state: state(&mut reader),
        users: users::users(&mut reader),
        clients: Clients { file: reader.take_path("clients", "file", "clients.toml") },
        login: login(&mut reader),
        verify: verify::verify(&mut reader),
        status_list: status_list::status_list(&mut reader),
        compatibility: Compatibility { password_grant: reader.take("compatibility", "password_grant", false) },
        limits: limits(&mut reader),
        tls: tls(&mut reader),
        log: Log {
            format: reader.take("log", "format", LogFormat::Json),
            level: reader.take("log", "level", LogLevel::Info),
        },
    };
    let (settings, mut warnings, problems) = reader.finish();
    if problems.is_empty() {
        warnings.extend(remarks(&config));
        return Ok(Loaded { config, settings, warnings });
    }
    Err(ConfigError { path: path.to_owned(), problems: without_repeats(problems) })
}

fn issuer(reader: &mut Reader<'_>) -> String {
    let checked = |issuer: &String| check_issuer(issuer).map_err(|why| format!("is no issuer: it {why}"));
    let issuer = reader.take_optional("", "issuer", checked);
    if issuer.is_none() && !reader.is_given("", "issuer") {
        let hint = "write the URL verifiers know this gateway by: issuer = \"https://auth.example\"";
        reader.refuse("", "issuer", "there is no `issuer`", hint);
    }
    issuer.unwrap_or_default()
}

fn listen(reader: &mut Reader<'_>) -> Listen {
    let public = reader.take("listen", "public", SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)));
    let admin = reader.take("listen", "admin", SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)));
    if public == admin && public.port() != 0 {
        reader.refuse("listen", "admin", "`listen.admin` is the public address", "give it a port of its own");
    }
    Listen { public, admin }
}

fn tokens(reader: &mut Reader<'_>) -> Tokens {
    let algorithm = reader.take("tokens", "algorithm", Algorithm::Es256);
    let lifetimes = SECOND..=ACCESS_LIFETIME_MAX;
    let access_lifetime = reader.take_checked("tokens", "access_lifetime", 5 * MINUTE, within(lifetimes.clone()));
    let lifetime_max = reader.take_checked("tokens", "lifetime_max", HOUR.max(access_lifetime), within(lifetimes));
    if lifetime_max < access_lifetime {
        let hint = "no token outlives `lifetime_max`: raise it, or leave it out";
        reader.refuse("tokens", "lifetime_max", "`tokens.lifetime_max` is below `tokens.access_lifetime`", hint);
    }
    let typ = reader.take("tokens", "typ", TokenTyp::AtJwt);
    let is_audience = |text: &String| check_audience(text).map(drop).map_err(|why| format!("does not fit: {why}"));
    let audience = reader.take_optional("tokens", "audience", is_audience).map(Audience::from);
    Tokens { algorithm, access_lifetime, lifetime_max, typ, audience }
}

fn refresh(reader: &mut Reader<'_>, tokens: &Tokens) -> Refresh {
    let idle_lifetime = reader.take_checked("refresh", "idle_lifetime", 14 * DAY, within(SECOND..=2 * YEAR));
    let absolute_lifetime = reader.take_checked("refresh", "absolute_lifetime", 90 * DAY, within(SECOND..=2 * YEAR));
    let retry_window = reader.take_checked("refresh", "retry_window", 10 * SECOND, within(Duration::ZERO..=MINUTE));
    if absolute_lifetime < idle_lifetime {
        let message = "`refresh.absolute_lifetime` is below `refresh.idle_lifetime`";
        let hint = format!("the idle lifetime is {}: a login ends no earlier than that", format_span(idle_lifetime));
        reader.refuse("refresh", blame(reader, "absolute_lifetime", "idle_lifetime"), message, &hint);
    }
    if absolute_lifetime < tokens.access_lifetime {
        let message = "`refresh.absolute_lifetime` is below `tokens.access_lifetime`";
        reader.refuse("refresh", "absolute_lifetime", message, "no access token outlives its login");
    }
    Refresh { idle_lifetime, absolute_lifetime, retry_window }
}

/// Which of two settings of `[refresh]` to point at: the one that was written.
fn blame(reader: &Reader<'_>, first: &'static str, second: &'static str) -> &'static str {
    if reader.is_given("refresh", first) { first } else { second }
}

fn keys(reader: &mut Reader<'_>, tokens: &Tokens) -> Keys {
    let directory = reader.take_path("keys", "directory", "keys");
    let algorithms = reader.take("keys", "algorithms", vec![tokens.algorithm]);
    if !algorithms.contains(&tokens.algorithm) {
        let message = format!("`keys.algorithms` lacks {}, the value of `tokens.algorithm`", tokens.algorithm);
        reader.refuse("keys", "algorithms", &message, "leave `keys.algorithms` out, or add it");
    }
    let rotate_every = reader.take_checked("keys", "rotate_every", 30 * DAY, within(2 * SECOND..=3 * YEAR));
    let publish_ahead = reader.take_checked("keys", "publish_ahead", HOUR, within(SECOND..=30 * DAY));
    if publish_ahead >= rotate_every {
        let message = "`keys.publish_ahead` is not below `keys.rotate_every`";
        let at = if reader.is_given("keys", "publish_ahead") { "publish_ahead" } else { "rotate_every" };
        reader.refuse("keys", at, message, "a key is published while the one before it still signs");
    }
    let forgotten = DAY.max(2 * publish_ahead);
    let spans = within(SECOND..=YEAR);
    let verifiers_forgotten_after = reader.take_checked("keys", "verifiers_forgotten_after", forgotten, spans);
    if verifiers_forgotten_after < publish_ahead {
        let message = "`keys.verifiers_forgotten_after` is below `keys.publish_ahead`";
        let hint = "a verifier that honours its cache header may stay away that long: raise it, or leave it out";
        reader.refuse("keys", "verifiers_forgotten_after", message, hint);
    }
    Keys {
        directory,
        algorithms,
        rotate_every,
        publish_ahead,
        rotation: reader.take("keys", "rotation", Rotation::Automatic),
        behind: reader.take("keys", "behind", Behind::Wait),
        behind_wait_max: reader.take_checked("keys", "behind_wait_max", DAY, within(SECOND..=30 * DAY)),
        verifiers_max: reader.take_checked("keys", "verifiers_max", 1_000, between(10..=10_000)),
        verifiers_forgotten_after,
    }
}

fn state(reader: &mut Reader<'_>) -> State {
    State {
        directory: reader.take_path("state", "directory", "state"),
        durability: reader.take("state", "durability", Durability::Always),
        entries_max: reader.take_checked("state", "entries_max", 100_000_000, between(1_000..=10_000_000_000)),
    }
}

fn login(reader: &mut Reader<'_>) -> Login {
    let (hash, slowdown) = (HashSettings::default(), SlowdownSettings::default());
    let kib = between(8..=262_144);
    let memory_kib = reader.take_checked("login", "hash_memory_kib", 19_456, kib);
    let passes = reader.take_checked("login", "hash_passes", 2, between(1..=16));
    let cost = Cost {
        memory_kib: u32::try_from(memory_kib).unwrap_or(Cost::DEFAULT.memory_kib),
        passes: u32::try_from(passes).unwrap_or(Cost::DEFAULT.passes),
        lanes: 1,
    };
    let free = reader.take_checked("login", "free_failures", 5, between(1..=100));
    Login {
        hash: HashSettings {
            threads: reader.take_checked("login", "hash_threads", 2, between(1..=64)),
            queue_max: reader.take_checked("login", "queue_max", hash.queue_max, between(1..=10_000)),
            wait_max: reader.take_checked("login", "wait_max", hash.wait_max, within(SECOND..=MINUTE)),
            cost,
        },
        slowdown: SlowdownSettings {
            free_failures: u32::try_from(free).unwrap_or(slowdown.free_failures),
            delay_max: reader.take_checked("login", "delay_max", slowdown.delay_max, within(SECOND..=DAY)),
            ..slowdown
        },
    }
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    let timeouts = || within(SECOND..=10 * MINUTE);
    let stop = || within(Duration::ZERO..=10 * MINUTE);
    Limits {
        body_bytes_max: reader.take_checked("limits", "body_bytes_max", 65_536, between(1_024..=1 << 24)),
        header_bytes_max: reader.take_checked("limits", "header_bytes_max", 16_384, between(8_192..=1 << 20)),
        headers_max: reader.take_checked("limits", "headers_max", 64, between(16..=1_000)),
        connections_max: reader.take_checked("limits", "connections_max", 20_000, between(1..=1_000_000)),
        in_flight_max: reader.take_checked("limits", "in_flight_max", 1_024, between(1..=100_000)),
        followers_max: reader.take_checked("limits", "followers_max", 4_096, between(0..=1_000_000)),
        header_timeout: reader.take_checked("limits", "header_timeout", 10 * SECOND, timeouts()),
        body_timeout: reader.take_checked("limits", "body_timeout", 10 * SECOND, timeouts()),
        idle_timeout: reader.take_checked("limits", "idle_timeout", 75 * SECOND, within(SECOND..=DAY)),
        shutdown_delay: reader.take_checked("limits", "shutdown_delay", Duration::ZERO, stop()),
        shutdown_grace: reader.take_checked("limits", "shutdown_grace", 30 * SECOND, stop()),
    }
}

fn tls(reader: &mut Reader<'_>) -> Option<Tls> {
    let any = |_: &String| Ok(());
    let certificate = reader.take_optional("tls", "certificate", any);
    let key = reader.take_optional("tls", "key", any);
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Some(Tls { certificate: reader.resolve(&certificate), key: reader.resolve(&key) })
        }
        (Some(_), None) => {
            reader.refuse("tls", "certificate", "`tls.certificate` without `tls.key`", "TLS needs both");
            None
        }
        (None, Some(_)) => {
            reader.refuse("tls", "key", "`tls.key` without `tls.certificate`", "TLS needs both");
            None
        }
        (None, None) => None,
    }
}

fn within(bounds: RangeInclusive<Duration>) -> impl Fn(&Duration) -> Result<(), String> {
    move |span| {
        if bounds.contains(span) {
            return Ok(());
        }
        Err(format!("is out of bounds: {} to {}", format_span(*bounds.start()), format_span(*bounds.end())))
    }
}

fn between(bounds: RangeInclusive<usize>) -> impl Fn(&usize) -> Result<(), String> {
    move |number| {
        if bounds.contains(number) {
            return Ok(());
        }
        Err(format!("is out of bounds: {} to {}", bounds.start(), bounds.end()))
    }
}

/// What is allowed, but an operator should have meant it.
fn remarks(config: &Config) -> Vec<String> {
    let mut remarks = Vec::new();
    if !is_loopback(config.listen.admin.ip()) {
        remarks.push(format!("listen.admin = {} is reachable from other machines", config.listen.admin));
    }
    if config.state.durability == Durability::None {
        remarks.push("state.durability = \"none\": a restart forgets rotations and revocations".to_owned());
    }
    if config.compatibility.password_grant {
        remarks.push("compatibility.password_grant is on: RFC 9700 section 2.4 says it must not be used".to_owned());
    }
    if config.issuer.ends_with('/') {
        remarks.push("the issuer ends in `/`: verifiers compare it byte by byte, with the `/`".to_owned());
    }
    remarks
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// One mistake is told once, even where two checks met it.
fn without_repeats(problems: Vec<Problem>) -> Vec<Problem> {
    let mut kept: Vec<Problem> = Vec::with_capacity(problems.len());
    for problem in problems {
        if !kept.contains(&problem) {
            kept.push(problem);
        }
    }
    kept
}
