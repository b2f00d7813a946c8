//! What a DTMA is started with, and the files that make a host an environment's: `environment`, `token` and,
//! where it is not said at each start, `control-url`, `tls-pin` and `proxy`.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::dtma::HEARTBEAT_PERIOD;
use domain::ids::EnvironmentId;
use domain::secret::Secret;
use hop::tls::Pin;
use tokio::sync::Notify;

use crate::DtmaError;
use crate::own_log::OwnLog;
use crate::proxy::Proxy;
use crate::specs::{WriteError, make_dir};

const ENVIRONMENT: &str = "environment";
const TOKEN: &str = "token";
const CONTROL_URL: &str = "control-url";
const TLS_PIN: &str = "tls-pin";
const PROXY: &str = "proxy";

/// What a DTMA is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The DTMA's part of the data directory, such as `berth-data/dtma`.
    pub data: PathBuf,
    /// Which environment this host is.
    pub environment: EnvironmentId,
    /// What callers of the API must show, and what heartbeats are sent under.
    pub token: Secret,
    /// Where heartbeats go, such as `http://127.0.0.1:8420`; absent: nowhere.
    pub control_url: Option<String>,
    /// The control plane's key, when no authority knows its certificate.
    pub tls_pin: Option<Pin>,
    /// The way out of a host that has no other.
    pub proxy: Option<Proxy>,
    /// Whether the control plane reaches this host over a connection that this host opens.
    pub tunnel: bool,
    /// A key that older backends share among all hosts, which opens the older paths too; absent: none does.
    pub backend_key: Option<Secret>,
    /// The disk that holds `data` is cleared of what no instance needs when it is fuller than this; absent: never.
    pub cleanup_percent: Option<u8>,
    /// Its own binary, where it is a service whose binary can be replaced.
    pub service: Option<PathBuf>,
    /// What it says, which `GET /v1/log` gives; whoever sets logging up writes to it.
    pub log: OwnLog,
    /// Told once it serves: a service manager waits for that.
    pub serves: Arc<Notify>,
    /// The longest time between two heartbeats.
    pub heartbeat: Duration,
}

/// What makes a host an environment's.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// Which environment.
    pub environment: EnvironmentId,
    /// Its token.
    pub token: Secret,
    /// Where it reports to, when that is not said at each start.
    pub control_url: Option<String>,
    /// The key of what answers there, when no authority knows its certificate.
    pub tls_pin: Option<Pin>,
    /// The way out of a host that has no other.
    pub proxy: Option<Proxy>,
}

impl Config {
    /// The configuration of a host whose enrolment lies in `data`; a `control_url` that is given goes before the one that it
    /// was enrolled with.
    ///
    /// # Errors
    /// [`DtmaError::Enrolment`], naming the file and what is wrong with it.
    pub fn read(data: PathBuf, control_url: Option<String>) -> Result<Self, DtmaError> {
        let (path, text) = read(&data, ENVIRONMENT)?;
        let environment = text.parse().map_err(|_| DtmaError::Enrolment {
            path,
            reason: "does not hold an environment's id".to_owned(),
        })?;
        let (path, text) = read(&data, TOKEN)?;
        if text.is_empty() {
            return Err(DtmaError::Enrolment { path, reason: "is empty".to_owned() });
        }
        let token = Secret::new(text);
        let control_url = match control_url {
            Some(url) => Some(url),
            None => optional(&data, CONTROL_URL)?,
        };
        let tls_pin = optional(&data, TLS_PIN)?.map(|text| {
            text.parse::<Pin>().map_err(|error| DtmaError::Enrolment {
                path: data.join(TLS_PIN),
                reason: format!("holds none: {error}"),
            })
        });
        let tls_pin = tls_pin.transpose()?;
        let proxy = optional(&data, PROXY)?.map(|text| {
            text.parse::<Proxy>().map_err(|error| DtmaError::Enrolment {
                path: data.join(PROXY),
                reason: format!("holds none: {error}"),
            })
        });
        let proxy = proxy.transpose()?;
        Ok(Self {
            data,
            environment,
            token,
            control_url,
            tls_pin,
            proxy,
            tunnel: false,
            backend_key: None,
            cleanup_percent: None,
            service: None,
            log: OwnLog::default(),
            serves: Arc::default(),
            heartbeat: HEARTBEAT_PERIOD,
        })
    }
}

/// Makes the host of `data` an environment's: writes its files, mode 0600, each whole or not at all. The token is the last
/// one: without it a host is not enrolled.
///
/// # Errors
/// [`DtmaError::ControlUrl`], [`DtmaError::Data`]
pub fn enrol(data: &Path, enrolment: &Enrolment) -> Result<(), DtmaError> {
    if let Some(url) = &enrolment.control_url {
        crate::heartbeat::url_of(url, enrolment.tls_pin)
            .map_err(|reason| DtmaError::ControlUrl { url: url.clone(), reason })?;
    }
    make_dir(data)?;
    let environment = enrolment.environment.to_string();
    let url = enrolment.control_url.clone();
    let pin = enrolment.tls_pin.map(|pin| pin.to_string());
    let token = enrolment.token.expose().to_owned();
    // The pin of another control plane would keep this host from the one that is meant now.
    let is_stale = url.is_some() && pin.is_none();
    let proxy = enrolment.proxy.as_ref().map(|proxy| proxy.url().expose().to_owned());
    let is_direct = url.is_some() && proxy.is_none();
    for (name, text, goes) in [
        (ENVIRONMENT, Some(environment), false),
        (TLS_PIN, pin, is_stale),
        (PROXY, proxy, is_direct),
        (CONTROL_URL, url, false),
        (TOKEN, Some(token), false),
    ] {
        let path = data.join(name);
        let done = match text {
            Some(text) => write(&path, &text),
            None if goes => remove(&path),
            None => Ok(()),
        };
        done.map_err(|source| DtmaError::Data(WriteError::Io { path, source }))?;
    }
    Ok(())
}

/// What the host was enrolled with, of what not every host has.
fn optional(data: &Path, name: &str) -> Result<Option<String>, DtmaError> {
    let path = data.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DtmaError::Enrolment { path, reason: format!("cannot be read ({error})") }),
    }
}

fn read(data: &Path, name: &str) -> Result<(PathBuf, String), DtmaError> {
    let path = data.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok((path, text.trim().to_owned())),
        Err(error) => {
            let reason = if error.kind() == io::ErrorKind::NotFound {
                "is missing".to_owned()
            } else {
                format!("cannot be read ({error})")
            };
            Err(DtmaError::Enrolment { path, reason })
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
