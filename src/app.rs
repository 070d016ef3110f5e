//! Wiring: a configuration in, a running gateway out.
//!
//! [`Gateway::assemble`] builds everything that can fail before anything listens; [`Gateway::serve`] runs until it is told
//! to stop, then drains.

mod census;
pub mod door;
mod people;
pub mod settings;
mod status;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch as signal;
use zeroize::Zeroizing;

use crate::ambient::{Clock, Entropy, EntropyError};
use crate::config::reload::{ReloadError, Reloadable};
use crate::config::{Config, Inputs};
use crate::http::endpoint::admin::Admin;
use crate::http::limits::Settings;
use crate::http::router::Public;
use crate::http::server::{Server, bind};
use crate::http::tls::{Tls, TlsError};
use crate::issuer::{Issuer, Parts};
use crate::keys::keyring::KeyringError;
use crate::keys::{Keyring, rotator};
use crate::protocol::time::UnixSeconds;
use crate::store::allotted::Allotments;
use crate::store::embedded::OpenError;
use crate::store::{EmbeddedStore, MemoryStore, Store};
use crate::telemetry::log::Log;
use crate::telemetry::metrics::Metrics;
use crate::user::directory::file::FileDirectory;
use crate::user::directory::sql::SetupError;
use crate::user::hash::{HashPool, StartError as HashStartError};
use crate::user::slowdown::Slowdown;

/// Why a gateway does not start. Each names the file or the address, and the next step.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Configuration, clients or users.
    #[error(transparent)]
    Read(#[from] ReloadError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A listener.
    #[error("cannot listen on {address} ([listen] {name}): {error}")]
    Listen {
        /// Which one.
        name: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// The password threads.
    #[error(transparent)]
    Passwords(#[from] HashStartError),
    /// The admin door.
    #[error("{path}: {error}")]
    Door {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The state's log.
    #[error("{path}: {error}")]
    State {
        /// The file.
        path: PathBuf,
        /// Why it does not open.
        error: OpenError,
    },
    /// The places in status lists.
    #[error("{path}: {error}")]
    StatusLists {
        /// The directory.
        path: PathBuf,
        /// Why it cannot be read.
        error: std::io::Error,
    },
    /// The database of users.
    #[error(transparent)]
    Users(#[from] SetupError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Where a running gateway is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The public listener.
    pub public: String,
    /// The admin listener.
    pub admin: String,
}

/// Everything a gateway needs, ready to serve; its listeners are bound.
pub struct Gateway {
    config: Config,
    inputs: Inputs,
    current: Reloadable,
    issuer: Arc<Issuer>,
    users_file: Option<Arc<FileDirectory>>,
    keyring: Arc<Keyring>,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    public: TcpListener,
    admin: TcpListener,
    admin_token: Zeroizing<String>,
    addresses: Addresses,
}

impl Gateway {
    /// Builds the gateway from its files and binds its listeners. Nothing is served yet.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn assemble(
        current: Reloadable,
        inputs: Inputs,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, StartError> {
        let config = current.loaded.config.clone();
        for warning in &current.loaded.warnings {
            tracing::warn!("{warning}");
        }
        let now = clock.now();
        let metrics = Metrics::new(now);
        let keyring = Arc::new(Keyring::load(&settings::keys(&config))?);
        census::recall(keyring.census(), &config.state.directory, now);
        let tls = settings::tls(&config).map(Tls::load).transpose()?.map(Arc::new);
        let people = people::people(&config, &current, &clock)?;
        let store = open_store(&config, now).await?;
        let issuer = Arc::new(Issuer::new(Parts {
            issuer: Arc::from(config.issuer.as_str()),
            settings: settings::issuer(&config),
            keyring: Arc::clone(&keyring),
            clients: current.registry.clone(),
            directory: people.directory,
            passwords: HashPool::start(config.login.hash, Arc::clone(&clock), entropy.as_ref())?,
            slowdown: Slowdown::new(config.login.slowdown),
            store,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            metrics: Arc::clone(&metrics),
        }));
        if settings::sync(&config).is_some() {
            let directory = config.state.directory.join("status_lists");
            issuer
                .keep_allotments(Allotments::new(directory.clone()))
                .map_err(|error| StartError::StatusLists { path: directory, error })?;
        }
        let listen =
            |name, address: SocketAddr| bind(address).map_err(|error| StartError::Listen { name, address, error });
        let public = listen("public", config.listen.public)?;
        let admin = listen("admin", config.listen.admin)?;
        let url = |listener: &TcpListener, scheme: &str, wanted: SocketAddr| {
            format!("{scheme}://{}", listener.local_addr().unwrap_or(wanted))
        };
        let addresses = Addresses {
            public: url(&public, if tls.is_some() { "https" } else { "http" }, config.listen.public),
            admin: url(&admin, "http", config.listen.admin),
        };
        let admin_token = door::generate_token(entropy.as_ref())?;
        door::write(&config.state.directory, &addresses.admin, &admin_token)
            .map_err(|(path, error)| StartError::Door { path, error })?;
        Ok(Self {
            config,
            inputs,
            current,
            issuer,
            users_file: people.file,
            keyring,
            tls,
            metrics,
            clock,
            entropy,
            public,
            admin,
            admin_token,
            addresses,
        })
    }

    /// Where it will be reached.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Serves until SIGTERM or SIGINT, then:
    ///
    /// 1. Readiness turns red; the balancer has `shutdown_delay` to notice.
    /// 2. The public listener drains; what is under way is answered.
    /// 3. The admin listener closes, last, so that probes see the end.
    pub async fn serve(self, log: Arc<Log>) {
        let (keyring, clock) = (Arc::clone(&self.keyring), Arc::clone(&self.clock));
        let (stop_tasks, tasks_stop) = signal::channel(false);
        let (stopping, is_stopping) = signal::channel(false);
        let (stop_public, public_stops) = signal::channel(false);
        let (stop_admin, admin_stops) = signal::channel(false);
        let limits = settings::http(&self.config);
        let few = settings::admin(&self.config);
        let server = |listener, tls, name, settings: &Settings| Server {
            listener,
            tls,
            settings: settings.clone(),
            clock: Arc::clone(&self.clock),
            traffic: self.metrics.traffic(name),
        };
        let public =
            Public::new(Arc::clone(&self.issuer), limits.body, Arc::clone(&self.clock), Arc::clone(&self.metrics))
                .holding(limits.followers_max, public_stops.clone());
        let admin = Admin::new(
            Arc::clone(&self.issuer),
            Arc::clone(&self.metrics),
            limits.body,
            &self.admin_token,
            Box::new(move || log.lines_dropped()),
            is_stopping,
        );
        let public = tokio::spawn(server(self.public, self.tls.clone(), "public", &limits).serve(public, public_stops));
        let admin = tokio::spawn(server(self.admin, None, "admin", &few).serve(admin, admin_stops));
        let entropy = Arc::clone(&self.entropy);
        let rotation = rotator::run(Arc::clone(&keyring), Arc::clone(&clock), entropy, tasks_stop.clone());
        let rotation = tokio::spawn(rotation);
        tokio::spawn(people::learn_password_cost(Arc::clone(&self.issuer), tasks_stop.clone()));
        let status = tokio::spawn(status::run(Arc::clone(&self.issuer), tasks_stop.clone()));
        let watch = watch::Watch {
            current: self.current,
            inputs: self.inputs,
            issuer: Arc::clone(&self.issuer),
            users_file: self.users_file,
            keyring: self.keyring,
            tls: self.tls,
            metrics: self.metrics,
            clock: self.clock,
        };
        let watch = tokio::spawn(watch.run(tasks_stop));
        tracing::info!(
            issuer = self.issuer.name(),
            public = self.addresses.public,
            admin = self.addresses.admin,
            "serving"
        );

        let name = watch::termination().await;
        tracing::info!(signal = name, "stopping: not ready any more");
        // A receiver that is gone has stopped already; that is what was wanted.
        let _ = stopping.send(true);
        tokio::time::sleep(self.config.limits.shutdown_delay).await;
        let _ = stop_public.send(true);
        if let Ok(drained) = public.await {
            tracing::info!(cut_off = drained.cut_off, "drained");
        }
        let _ = stop_tasks.send(true);
        let _ = status.await;
        let _ = rotation.await;
        let _ = watch.await;
        census::save(keyring.census(), &self.config.state.directory, clock.now());
        let _ = stop_admin.send(true);
        let _ = admin.await;
        door::remove(&self.config.state.directory);
    }
}

/// Opens the store that `[state] durability` asks for. The log is read here, before anything listens: nobody is ever
/// answered from a state that is not whole.
async fn open_store(config: &Config, now: UnixSeconds) -> Result<Arc<dyn Store>, StartError> {
    let bounds = settings::store(config, now);
    let Some(sync) = settings::sync(config) else { return Ok(Arc::new(MemoryStore::new(bounds))) };
    let directory = config.state.directory.clone();
    let path = directory.clone();
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&directory, bounds, sync, now)).await;
    let store = match opened {
        Ok(opened) => opened.map_err(|(path, error)| StartError::State { path, error })?,
        Err(error) => return Err(StartError::State { path, error: OpenError::Disk(error.to_string()) }),
    };
    let entries = store.figures().state.entries();
    tracing::info!(entries, "the state is loaded");
    Ok(Arc::new(store))
}
