//! `mintgate dev`: a gateway to try out, with everything in it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use crate::ambient::document::{self, Intent, Locked};
use crate::ambient::entropy::draw;
use crate::app::Addresses;
use crate::cli::failure::{Exit, Failure};
use crate::cli::{Context, init, serve};
use crate::client::{self, Client, ClientKind, GrantType, SecretDigest, digest, generate_secret};
use crate::config::Inputs;
use crate::protocol::base64url;
use crate::protocol::id::{Audience, ClientId};
use crate::protocol::scope::Scope;
use crate::user::directory::Account;
use crate::user::phc::{Cost, Memory, Phc};
use crate::user::{self, Profile};

/// Where `dev` listens unless told otherwise.
const PORT: u16 = 8_080;
/// Where its admin listener is then.
const ADMIN_PORT: u16 = 9_090;
const CLIENT: &str = "dev-service";
const PUBLIC_CLIENT: &str = "dev-app";
const USER: &str = "ada";
const SCOPE: &str = "read write";
const AUDIENCE: &str = "https://api.example";

/// How to try it.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The port on 127.0.0.1; 0 lets the system choose
    #[arg(long)]
    pub port: Option<u16>,
    /// Keep the data here, as `mintgate init` lays it out; the next start goes on with it
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// The secrets of a kept directory; only the owner can read them.
#[derive(Clone, Serialize, Deserialize)]
struct Credentials {
    client_secret: String,
    password: String,
}

/// The file they are kept in, beside the configuration.
const CREDENTIALS: &str = "dev.json";

/// Makes the data, serves it, and removes it again unless it is kept.
///
/// # Errors
/// `Usage` if the port is taken, `Failed` if the data cannot be made.
pub fn run(args: &Args, context: &Context<'_>) -> Result<(), Failure> {
    let temporary = match &args.keep {
        Some(_) => None,
        None => Some(Temporary::new(context)?),
    };
    let directory = match (&args.keep, &temporary) {
        (Some(kept), _) => kept.clone(),
        (None, Some(temporary)) => temporary.0.clone(),
        (None, None) => return Err(Failure::new(Exit::Failed, "no directory for the data")),
    };
    let (public, admin) = addresses(args.port)?;
    let issuer = format!("http://{public}");
    let config_path = directory.join("mintgate.toml");
    let credentials = if config_path.exists() {
        read_credentials(&directory)?
    } else {
        let wanted = init::Args { directory: directory.clone(), issuer: issuer.clone(), public, admin, dry_run: false };
        init::create(&wanted, context)?;
        fill(&directory, context)?
    };
    let mut inputs = Inputs::from_process()
        .with_flag("issuer", issuer)
        .with_flag("listen.public", public.to_string())
        .with_flag("listen.admin", admin.to_string());
    if temporary.is_some() {
        // What is gone at the end need not be on disk.
        inputs = inputs.with_flag("state.durability", "none");
    }
    if !context.json {
        inputs = inputs.with_flag("log.format", "text");
    }
    let context = Context { config_path: config_path.clone(), output: context.output.clone(), ..*context };
    serve::serve(&context, inputs, |addresses, issuer| {
        let tour = Tour { addresses, issuer, config: &config_path, credentials: &credentials };
        if context.json { context.output.json(&tour.facts()) } else { context.output.line(&tour.text(args)) }
    })
}

/// Both listeners, on loopback.
fn addresses(port: Option<u16>) -> Result<(SocketAddr, SocketAddr), Failure> {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match port {
        None => Ok((loopback(PORT), loopback(ADMIN_PORT))),
        Some(0) => {
            // The issuer names the port, so it must be known before anything is written. Both are held while the
            // second is drawn, so they differ.
            let free = || TcpListener::bind(loopback(0));
            let first = free()?;
            let second = free()?;
            Ok((first.local_addr()?, second.local_addr()?))
        }
        Some(port) => Ok((loopback(port), loopback(0))),
    }
}

/// Registers two clients and a user, and gives their secrets.
fn fill(directory: &Path, context: &Context<'_>) -> Result<Credentials, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, error.to_string());
    let no_entropy = |error| failed(&error);
    let now = context.clock.now();
    let secret = generate_secret(context.entropy).map_err(no_entropy)?;
    let password: Zeroizing<[u8; 15]> = Zeroizing::new(draw(context.entropy).map_err(no_entropy)?);
    let password = base64url::encode(password.as_slice());
    let scope: Scope = SCOPE.parse().map_err(|error: String| failed(&error))?;
    let service = Client {
        id: ClientId::from(CLIENT),
        kind: ClientKind::Confidential,
        first_party: false,
        enabled: true,
        secrets: vec![SecretDigest { sha256: digest(&secret), created_at: now, ends_at: None }],
        grants: vec![GrantType::ClientCredentials, GrantType::RefreshToken],
        scope: scope.clone(),
        audiences: vec![Audience::from(AUDIENCE)],
        access_lifetime: None,
    };
    let app = Client {
        id: ClientId::from(PUBLIC_CLIENT),
        kind: ClientKind::Public,
        first_party: true,
        secrets: Vec::new(),
        grants: vec![GrantType::RefreshToken],
        ..service.clone()
    };
    for client in [&service, &app] {
        client::file::add(&directory.join("clients.toml"), client, Intent::Write).map_err(|error| failed(&error))?;
    }
    let phc =
        Phc::new(&password, Cost::DEFAULT, context.entropy, &mut Memory::default()).map_err(|error| failed(&error))?;
    let account = Account {
        name: USER.into(),
        profile: Profile {
            subject: user::file::generate_subject(context.entropy).map_err(no_entropy)?,
            enabled: true,
            scope: None,
            // A second ago: a log-in in the very second of a change is told to wait.
            password_changed_at: crate::protocol::time::UnixSeconds(now.0.saturating_sub(1)),
            credential: None,
        },
        password: Some(phc.to_string().into()),
    };
    user::file::add(&directory.join("users.toml"), &account, Intent::Write).map_err(|error| failed(&error))?;
    let credentials = Credentials { client_secret: secret.to_string(), password };
    let text = serde_json::to_string(&credentials).map_err(|error| failed(&error))?;
    Locked::acquire(&directory.join(CREDENTIALS))
        .and_then(|file| file.replace(&text))
        .map_err(|error| failed(&error))?;
    Ok(credentials)
}

fn read_credentials(directory: &Path) -> Result<Credentials, Failure> {
    let path = directory.join(CREDENTIALS);
    let conflict = |detail: String| {
        Failure::new(Exit::Conflict, detail)
            .hint("the directory was not made by `mintgate dev --keep`; use `mintgate serve` for it")
    };
    let text = document::read(&path).map_err(|error| conflict(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| conflict(format!("{}: {error}", path.display())))
}

/// A directory that goes when the gateway ends.
struct Temporary(PathBuf);

impl Temporary {
    fn new(context: &Context<'_>) -> Result<Self, Failure> {
        use std::os::unix::fs::DirBuilderExt as _;
        let random: [u8; 8] = draw(context.entropy).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let name = format!("mintgate-dev-{:016x}", u64::from_be_bytes(random));
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Best effort: the system clears its temporary directory some day.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What is printed before serving.
struct Tour<'a> {
    addresses: &'a Addresses,
    issuer: &'a str,
    config: &'a Path,
    credentials: &'a Credentials,
}

impl Tour<'_> {
    fn facts(&self) -> serde_json::Value {
        json!({
            "issuer": self.issuer,
            "url": self.addresses.public,
            "admin_url": self.addresses.admin,
            "config": self.config,
            "client": {
                "client_id": CLIENT, "client_secret": self.credentials.client_secret, "scope": SCOPE,
                "audience": AUDIENCE,
            },
            "public_client": {"client_id": PUBLIC_CLIENT},
            "user": {"username": USER, "password": self.credentials.password},
        })
    }

    fn text(&self, args: &Args) -> String {
        let url = &self.addresses.public;
        let secret = &self.credentials.client_secret;
        let password = &self.credentials.password;
        let data = match &args.keep {
            Some(kept) => format!("data in {}", kept.display()),
            None => "temporary data, gone at the end".to_owned(),
        };
        format!(
            r#"mintgate dev: {url} (admin {admin}), {data}
This is not for production: known names, no TLS, secrets on the screen.

# a token for a service
curl -s -u {CLIENT}:{secret} -d grant_type=client_credentials {url}/token

# log a user in, and keep the refresh token
curl -s -d client_id={PUBLIC_CLIENT} -d username={USER} -d password={password} {url}/login | tee login.json

# refresh: a new pair; the old refresh token is used up
curl -s -d grant_type=refresh_token -d client_id={PUBLIC_CLIENT} -d refresh_token="$(sed 's/.*"refresh_token":"\([^"]*\)".*/\1/' login.json)" {url}/token

# the keys, for whoever verifies locally
curl -s {url}/jwks.json

# is a token live? (services ask this only if they cannot verify locally)
curl -s -u {CLIENT}:{secret} -d token="$(sed 's/.*"access_token":"\([^"]*\)".*/\1/' login.json)" {url}/introspect

# may this request pass? what a proxy asks (401, 403, or 200 with X-Auth-Subject and more)
curl -si -H "Authorization: Bearer $(sed 's/.*"access_token":"\([^"]*\)".*/\1/' login.json)" "{url}/verify?aud={AUDIENCE}&scope=read"

Rotate the signing key: mintgate keys rotate --config {config}
Press Ctrl-C to stop."#,
            admin = self.addresses.admin,
            config = self.config.display(),
        )
    }
}
