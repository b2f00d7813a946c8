//! The address that others use: what `berth up` and `berth server` make of what was typed about it.

use std::net::SocketAddr;
use std::sync::Arc;

use control::Public;
use hop::tls::{Files, ServerConfig};

use super::child;
use crate::args::PublicArgs;
use crate::data_dir::DataDir;
use crate::error::CliError;

/// Where others reach this control plane, and what is shown to them there.
#[derive(Debug)]
pub(crate) struct Front {
    /// What they are told.
    pub(crate) public: Public,
    /// What the listener of `--https-listen` needs.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

/// Decides it, from the addresses that were really bound. Without certificate files a self-signed certificate is made, once:
/// `berth up` and the server that it starts come to the same.
///
/// # Errors
/// When the certificate cannot be used.
pub(crate) fn front(
    args: &PublicArgs,
    data: &DataDir,
    listen: SocketAddr,
    https: Option<SocketAddr>,
) -> Result<Front, CliError> {
    let bad_url = |error| CliError::because("the public address cannot be used", error);
    let given = args.public_url.as_deref().map(|url| Public::new(url, None)).transpose().map_err(bad_url)?;
    let Some(https) = https.map(child::reachable) else {
        let own = || Public::new(&format!("http://{}", child::reachable(listen)), None).map_err(bad_url);
        return Ok(Front { public: given.map_or_else(own, Ok)?, tls: None });
    };
    let bad_files = |error| CliError::because("the certificate cannot be used", error);
    let url = given.map_or_else(|| format!("https://{https}"), |given| given.url().to_owned());
    let (files, pin) = if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        (Files { certificate: certificate.clone(), key: key.clone() }, None)
    } else {
        let names = names(&url, https);
        let files = Files::own(&data.control().join("tls"), &names).map_err(bad_files)?;
        let pin = files.pin().map_err(bad_files)?;
        // Where something else answers in plain HTTP there is no key to know it by.
        (files, Some(pin).filter(|_| url.starts_with("https:")))
    };
    Ok(Front {
        public: Public::new(&url, pin).map_err(bad_url)?,
        tls: Some(hop::tls::server_config(files).map_err(bad_files)?),
    })
}

/// What a self-signed certificate is for.
fn names(url: &str, https: SocketAddr) -> Vec<String> {
    let mut names = vec![https.ip().to_string()];
    if https.ip().is_loopback() {
        names.push("localhost".to_owned());
    }
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    names.extend(host.map(|host| host.trim_matches(['[', ']']).to_owned()));
    names.sort_unstable();
    names.dedup();
    names
}
