//! The DTMA: the process on a host that runs its instances.
//!
//! It keeps what is wanted of each instance on disk, makes it so through a [`runtime::Runtime`], forwards the bytes of
//! calls to the instances' shims, and tells the control plane what is. It needs no control plane to go on, opens no
//! database and reads no MCP. Shims outlive it: a DTMA that starts finds the living ones and keeps them.

pub mod checks;
mod cleanup;
mod config;
mod face;
mod heartbeat;
mod http;
mod images;
mod instance;
mod instances;
mod leases;
mod life;
mod lock;
mod logs;
mod metrics;
mod note;
mod own_log;
mod plan;
mod ports;
mod proxy;
mod relay;
mod seal;
mod shim_client;
mod specs;
mod system;
mod tokens;
mod tunnel;
mod upgrade;
mod usage;

use std::future::Future;
use std::sync::{Arc, Mutex};

use ::runtime::Runtime;
use ::runtime::layout::Layout;
use hop::serve::Listener;
use tokio::sync::{RwLock, Semaphore};
use tokio_util::sync::CancellationToken;

pub use config::{Config, Enrolment, enrol};
pub use own_log::OwnLog;
pub use proxy::{Proxy, ProxyError};
pub use relay::Relay;

use crate::instances::Instances;
use crate::lock::LockError;
use crate::metrics::Metrics;
use crate::note::Removed;
use crate::seal::{KeyError, Seal};
use crate::specs::{Specs, WriteError};
use crate::system::Meter;
use crate::usage::Gauge;

/// Installs at a time.
const INSTALLS: usize = 2;

/// Why a DTMA does not start.
#[derive(Debug, thiserror::Error)]
pub enum DtmaError {
    /// Another one has the data directory, or the directory cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The host is not enrolled, or a file of the enrolment is not what it should be.
    #[error("`{path}` {reason}: start with `berth up`, or enrol this host with `berth dtma enrol`")]
    Enrolment {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The control plane's address is none.
    #[error("`{url}` is not the address of a control plane: {reason}")]
    ControlUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Packages cannot come from the control plane.
    #[error("packages cannot come from the control plane: {0}")]
    Relay(String),
    /// The key that seals secrets on disk cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The data directory cannot be written.
    #[error("the data directory cannot be used")]
    Data(#[from] WriteError),
    /// The data directory cannot be read.
    #[error("the instances in the data directory cannot be read")]
    Load(#[source] std::io::Error),
}

/// Method and path of what is served for callers of the older DTMA, which the description does not have.
pub fn older_paths() -> &'static [(&'static str, &'static str)] {
    http::older_paths()
}

/// The API's OpenAPI description.
pub fn openapi() -> utoipa::openapi::OpenApi {
    http::openapi()
}

/// Runs until `stop` is done or `POST /v1/shutdown` is asked for. Shims and servers go on, unless that request said
/// otherwise.
///
/// # Errors
/// What keeps it from starting; once it serves it does not fail.
pub async fn run(
    config: Config,
    runtime: Arc<dyn Runtime>,
    listener: Listener,
    stop: impl Future<Output = ()>,
) -> Result<(), DtmaError> {
    let layout = Layout::new(&config.data)
        .map_err(|source| DtmaError::Data(WriteError::Io { path: config.data.clone(), source }))?;
    specs::make_dir(&layout.data)?;
    let _lock = lock::take(&layout.data)?;
    let (heartbeat_url, tunnel_url) = urls(&config)?;
    let seal = Seal::of_file(&layout.data.join("key"))?;
    let specs = Specs::open(layout.instances(), seal)?;
    specs::make_dir(&layout.sockets())?;
    tell_protections(runtime.as_ref());
    let removed = Removed::open(heartbeat_url.is_some().then(|| layout.data.join("removed")))?;
    let found = specs.load().map_err(DtmaError::Load)?;
    tracing::info!(environment = %config.environment, instances = found.len(), "the DTMA starts");

    if config.backend_key.is_some() {
        tracing::warn!(
            "a backend's shared key opens the older paths of this host: switch it off after the migration"
        );
    }

    let shared = Arc::new(instance::Shared {
        runtime,
        pool: hop::pool::Pool::new(),
        specs,
        sockets: layout.sockets(),
        metrics: Metrics::default(),
        changes: face::Changes::default(),
        removed,
        tokens: tokens::Tokens::of(&config).map_err(|reason| DtmaError::ControlUrl {
            url: config.control_url.clone().unwrap_or_default(),
            reason,
        })?,
        leases: leases::Leases::open(layout.data.join("leases.json")),
        own_port: listener.port(),
        installs: Semaphore::new(INSTALLS),
        installing: RwLock::default(),
    });
    let gauge = Gauge::new(Arc::clone(&shared.runtime));
    let instances = Instances::start(shared, found);
    let upgrades = Arc::new(upgrade::Upgrades::new(&layout.data, config.service.clone()));
    let asked = CancellationToken::new();
    let app = http::App {
        instances: instances.clone(),
        environment: config.environment,
        meter: Arc::new(Mutex::new(Meter::new(layout.data.clone()))),
        token: http::hash(&config.token),
        backend_key: config.backend_key.as_ref().map(http::hash),
        reports: heartbeat_url.is_some(),
        gauge: gauge.clone(),
        upgrades: Arc::clone(&upgrades),
        log: config.log.clone(),
        checks: Arc::new(checks::Checks::of(&config)),
        stop: asked.clone(),
    };
    let heartbeats = async {
        if let Some(url) = heartbeat_url {
            let meter = Meter::new(layout.data.clone());
            let reporter = heartbeat::Reporter::of(&config, url, meter, gauge, upgrades.program());
            heartbeat::run(reporter, instances.clone()).await;
        } else {
            tracing::info!("no control plane is configured; this host goes on alone");
        }
        std::future::pending::<()>().await;
    };
    let runtime = Arc::clone(&instances.shared().runtime);
    let cleanups = async {
        if let Some(percent) = config.cleanup_percent {
            cleanup::keep(instances.clone(), layout.data.clone(), percent).await;
        }
        std::future::pending::<()>().await;
    };
    let stopped = async {
        tokio::select! {
            () = stop => asked.cancel(),
            () = asked.cancelled() => {}
        }
    };
    let front = http::front(app);
    let tunnel = async {
        if let Some(url) = tunnel_url {
            let way = (config.tls_pin, config.proxy.clone());
            let token = config.token.clone();
            tunnel::run(url, way, token, config.heartbeat, front.clone(), asked.clone()).await;
        }
    };
    let served = async { tokio::join!(hop::serve::serve(listener, front.clone(), stopped), tunnel) };
    config.serves.notify_one();
    tokio::select! {
        _both = served => {}
        () = heartbeats => {}
        () = runtime.keep() => {}
        () = cleanups => {}
    }
    instances.abandon();
    tracing::info!("the DTMA ended");
    Ok(())
}

/// Where heartbeats go, and where a tunnel leads.
fn urls(config: &Config) -> Result<(Option<reqwest::Url>, Option<reqwest::Url>), DtmaError> {
    let Some(url) = &config.control_url else { return Ok((None, None)) };
    let wrong = |reason| DtmaError::ControlUrl { url: url.clone(), reason };
    let heartbeat = heartbeat::url_of(url, config.tls_pin).map_err(wrong)?;
    if let Some(proxy) = config.proxy.as_ref().filter(|_| config.tunnel && !url.starts_with("https:")) {
        return Err(wrong(format!(
            "a tunnel through the proxy {} needs an `https://` address",
            proxy.shown()
        )));
    }
    let tunnel = config.tunnel.then(|| tunnel::url_of(url, config.tls_pin).map_err(wrong)).transpose()?;
    Ok((Some(heartbeat), tunnel))
}

fn tell_protections(runtime: &dyn Runtime) {
    for protection in runtime.protections() {
        tracing::info!(
            name = protection.name,
            granted = protection.granted,
            detail = protection.detail,
            "a protection of this host"
        );
    }
}
