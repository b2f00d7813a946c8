//! Which Berth is meant: flags, then the environment, then the `client.toml` that `berth up` wrote.

use std::path::{Path, PathBuf};

use domain::secret::{self, Secret};
use hop::tls::Pin;
use serde::{Deserialize, Serialize};

use crate::args::Connection;
use crate::data_dir::{self, DataDir};
use crate::error::{CliError, io_failure};

/// The control plane's address, such as `http://127.0.0.1:8420`.
pub(crate) const URL_VARIABLE: &str = "BERTH_URL";
/// The API token.
pub(crate) const TOKEN_VARIABLE: &str = "BERTH_TOKEN";

/// The way out of a host that has no other, for `berth dtma`.
pub(crate) const PROXY_VARIABLE: &str = "BERTH_PROXY";
/// The control plane's key, when no authority knows its certificate.
pub(crate) const PIN_VARIABLE: &str = "BERTH_TLS_PIN";

/// The database of `berth up` and `berth server`; it may hold a password.
pub(crate) const DATABASE_VARIABLE: &str = "BERTH_DATABASE";
/// The older platform's database, for `berth import legacy`; it may hold a password.
pub(crate) const LEGACY_VARIABLE: &str = "BERTH_LEGACY_DATABASE";
/// The addresses that alerts are posted to, apart by spaces: they may be secrets, and arguments can be read by everybody on the
/// machine.
pub(crate) const WEBHOOKS_VARIABLE: &str = "BERTH_ALERT_WEBHOOKS";
/// The environment variables that say where droplets are made and with what token; only the control plane is told them.
pub(crate) const DROPLET_VARIABLES: [&str; 2] = ["DIGITALOCEAN_TOKEN", "DIGITALOCEAN_API_URL"];

/// The master key of `berth up` and `berth server`, when it does not lie in a file of Berth's.
pub(crate) const MASTER_KEY_VARIABLE: &str = "BERTH_MASTER_KEY";
/// Where systemd puts what a unit's `LoadCredential=` names (systemd.exec(5)), and the name of the master key there.
pub(crate) const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
pub(crate) const MASTER_KEY_CREDENTIAL: &str = "berth-master-key";

/// What `client.toml` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientFile {
    /// The control plane's address.
    pub(crate) url: String,
    /// The API token.
    #[serde(serialize_with = "secret::expose")]
    pub(crate) token: Secret,
    /// The control plane's key, when no authority knows its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_pin: Option<Pin>,
}

/// Where requests go and under which token.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The control plane's address, without a slash at its end.
    pub(crate) url: String,
    /// The API token.
    pub(crate) token: Secret,
    /// The control plane's key, when no authority knows its certificate.
    pub(crate) tls_pin: Option<Pin>,
}

impl Settings {
    /// Decides, from what was typed down to what lies on the disk. A token found on the disk is never sent to an
    /// address that was not found beside it.
    pub(crate) fn find(connection: &Connection) -> Result<Self, CliError> {
        let url = connection.url.clone().filter(|url| !url.is_empty());
        let token = connection.token.clone().filter(|token| !token.expose().is_empty());
        let found = match (&url, &token, &connection.data) {
            (Some(_), Some(_), _) => None,
            (_, _, Some(dir)) => Some(read(&DataDir::new(dir).client_file())?),
            (_, _, None) => search()?.map(|path| read(&path)).transpose()?,
        };
        let pin = connection.tls_pin;
        match (url, token, found) {
            (Some(url), Some(token), _) => Self::new(&url, token, pin),
            (Some(url), None, Some(file)) if trimmed(&url) == trimmed(&file.url) => {
                Self::new(&url, file.token, pin.or(file.tls_pin))
            }
            (Some(url), None, _) => Err(CliError::failed(format!("no token for {url}")).with_hint(format!(
                "set {TOKEN_VARIABLE}; `berth token create NAME` makes one where Berth runs"
            ))),
            (None, Some(token), Some(file)) => Self::new(&file.url, token, pin.or(file.tls_pin)),
            (None, None, Some(file)) => Self::new(&file.url, file.token, pin.or(file.tls_pin)),
            (None, _, None) => Err(CliError::failed(format!(
                "no Berth found: there is no `{}/{}` here or in a directory above",
                data_dir::DEFAULT,
                data_dir::CLIENT_FILE
            ))
            .with_hint(format!(
                "start one with `berth up`, name its data directory with `--data DIR`, or set {URL_VARIABLE} and {TOKEN_VARIABLE}"
            ))),
        }
    }

    fn new(url: &str, token: Secret, tls_pin: Option<Pin>) -> Result<Self, CliError> {
        let url = trimmed(url);
        let parsed = reqwest::Url::parse(url).ok().filter(|u| matches!(u.scheme(), "http" | "https"));
        if parsed.is_none() {
            return Err(CliError::usage(format!("`{url}` is no address of a Berth"))
                .with_hint("write it as `http://127.0.0.1:8420` or `https://berth.example.com`"));
        }
        if tls_pin.is_some() && !url.starts_with("https://") {
            return Err(CliError::usage(format!("a pin is given, but {url} is plain HTTP and has no key"))
                .with_hint(format!(
                    "use an `https://` address, or leave out `--tls-pin` and {PIN_VARIABLE}"
                )));
        }
        let sendable = |c: u8| c.is_ascii_graphic();
        if !token.expose().bytes().all(sendable) {
            return Err(CliError::usage("the token holds characters that no token has")
                .with_hint("copy it again, without spaces or line ends"));
        }
        Ok(Self { url: url.to_owned(), token, tls_pin })
    }
}

fn trimmed(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// The nearest data directory, here or in a directory above.
pub(crate) fn nearest_data_dir() -> Result<Option<DataDir>, CliError> {
    Ok(search()?.and_then(|file| file.parent().map(DataDir::new)))
}

/// The address that `berth up` wrote to a data directory, when it did.
pub(crate) fn url_of(data: &DataDir) -> Option<String> {
    read(&data.client_file()).ok().map(|file| file.url)
}

fn search() -> Result<Option<PathBuf>, CliError> {
    let here =
        std::env::current_dir().map_err(|e| CliError::because("the current directory cannot be told", e))?;
    Ok(here
        .ancestors()
        .map(|dir| DataDir::new(&dir.join(data_dir::DEFAULT)).client_file())
        .find(|path| path.is_file()))
}

fn read(path: &Path) -> Result<ClientFile, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => CliError::failed(format!("there is no `{}`", path.display()))
            .with_hint("`berth up --data DIR` makes it"),
        _ => io_failure("read", path, error),
    })?;
    // The parser's own message would show the line, and with it the token.
    toml::from_str(&text).map_err(|_| {
        CliError::failed(format!(
            "`{}` cannot be read: it must hold `url` and `token`, and may hold `tls_pin`",
            path.display()
        ))
        .with_hint("`berth up` writes it anew when it is removed")
    })
}
