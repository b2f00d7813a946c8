//! The address that others use: what `berth up` and `berth server` make of what was typed about it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;

use control::{Acme, Public, Registries};
use hop::tls::{Files, Obtained, ServerConfig};

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
    /// The authority that is asked for a certificate.
    pub(crate) acme: Option<Acme>,
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
        let public = given.map_or_else(own, Ok)?;
        check_redirect(args, &public)?;
        return Ok(Front { public, tls: None, acme: None });
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
    let Some(email) = &args.acme_email else {
        let public = Public::new(&url, pin).map_err(bad_url)?;
        check_redirect(args, &public)?;
        let tls = hop::tls::server_config(files).map_err(bad_files)?;
        return Ok(Front { public, tls: Some(tls), acme: None });
    };
    let name = certified(&url)?;
    let dir = data.control().join("acme");
    let shown = Arc::new(Obtained::open(files, data.control().join("tls/given.pem")).map_err(bad_files)?);
    // The key is the self-signed one's, so a pin that was told stays true. Where everybody knows the authority none is needed.
    let is_known = args.acme_root.is_none() && shown.lifetime(&name).is_some();
    let public = Public::new(&url, pin.filter(|_| !is_known)).map_err(bad_url)?;
    check_redirect(args, &public)?;
    let tls = hop::tls::obtained_config(Arc::clone(&shown)).map_err(bad_files)?;
    let (email, directory, root) = (email.clone(), args.acme_directory.clone(), args.acme_root.clone());
    let acme = Acme { email, directory, root, name, dir, shown };
    Ok(Front { public, tls: Some(tls), acme: Some(acme) })
}

/// The name that an authority certifies.
fn certified(url: &str) -> Result<String, CliError> {
    let url =
        reqwest::Url::parse(url).map_err(|e| CliError::because("the public address cannot be used", e))?;
    let domain = url.domain().filter(|domain| domain.contains('.'));
    domain.filter(|_| url.scheme() == "https").map(str::to_owned).ok_or_else(|| {
        CliError::usage(format!("no authority gives a certificate for {url}"))
            .with_hint("give the name of this Berth in the DNS: `--public-url https://berth.example.com`")
    })
}

/// The same for the server that `berth up` starts, whose TLS listener has this address.
pub(crate) fn arguments(args: &PublicArgs, https: Option<SocketAddr>) -> Vec<OsString> {
    let mut all: Vec<OsString> = Vec::new();
    let mut add = |flag: &str, value: Option<OsString>| {
        all.extend(value.into_iter().flat_map(|value| [OsString::from(flag), value]));
    };
    add("--https-listen", https.map(|https| https.to_string().into()));
    add("--tls-cert", args.tls_cert.clone().map(Into::into));
    add("--tls-key", args.tls_key.clone().map(Into::into));
    add("--public-url", args.public_url.clone().map(Into::into));
    add("--http-redirect", args.http_redirect.map(|address| address.to_string().into()));
    if args.acme_email.is_some() {
        add("--acme-email", args.acme_email.clone().map(Into::into));
        add("--acme-directory", Some(args.acme_directory.clone().into()));
        add("--acme-root", args.acme_root.clone().map(Into::into));
    }
    add("--npm-registry", args.npm_registry.clone().map(Into::into));
    add("--pypi-index", args.pypi_index.clone().map(Into::into));
    add("--pypi-files", args.pypi_files.clone().map(Into::into));
    for registry in &args.image_registries {
        add("--image-registry", Some(registry.into()));
    }
    for network in &args.trusted_proxies {
        add("--trusted-proxy", Some(network.to_string().into()));
    }
    if args.allow_private_upstreams {
        all.push("--allow-private-upstreams".into());
    }
    all
}

/// Where packages are fetched from for hosts that cannot.
///
/// # Errors
/// When one of them is no address of a registry.
pub(crate) fn registries(args: &PublicArgs) -> Result<Registries, CliError> {
    let (npm, pypi, files) = (&args.npm_registry, &args.pypi_index, &args.pypi_files);
    Registries::new(npm.as_deref(), pypi.as_deref(), files.as_deref())
        .and_then(|registries| registries.with_images(&args.image_registries))
        .map_err(CliError::usage)
}

fn check_redirect(args: &PublicArgs, public: &Public) -> Result<(), CliError> {
    if args.http_redirect.is_none() || public.url().starts_with("https:") {
        return Ok(());
    }
    Err(CliError::usage(format!(
        "`--http-redirect` has nowhere to lead: {} is plain HTTP itself",
        public.url()
    ))
    .with_hint("add `--https-listen ADDR`, or name the address of the proxy before it with `--public-url`"))
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
