//! What can be typed about the address that others use.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use control::{IpNet, Public};

/// The directory of Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Of `berth up` and `berth server`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The address that others use")]
pub(crate) struct PublicArgs {
    /// Address that serves the same as `--listen` over TLS, for others; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub(crate) https_listen: Option<SocketAddr>,
    /// Certificate in PEM, with those of its issuers; read anew when it changes; default: a self-signed one in the data directory
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "https_listen"])]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// What others reach this control plane at, such as `https://berth.example.com`; default: the address of `--https-listen`, else
    /// that of `--listen`
    #[arg(long, value_name = "URL", value_parser = public_url)]
    pub(crate) public_url: Option<String>,
    /// Address that sends everybody who comes over plain HTTP to the public address
    #[arg(long, value_name = "ADDR")]
    pub(crate) http_redirect: Option<SocketAddr>,
    /// Get the certificate from an authority that speaks ACME, such as Let's Encrypt, and keep it good; the authority writes to this
    /// address. It takes `--public-url` with the name, whose port 443 must lead to `--https-listen`
    #[arg(long, value_name = "ADDRESS", requires_all = ["https_listen", "public_url"], conflicts_with = "tls_cert", value_parser = email)]
    pub(crate) acme_email: Option<String>,
    /// Directory of the authority
    #[arg(long, value_name = "URL", requires = "acme_email", default_value = LETS_ENCRYPT, value_parser = directory)]
    pub(crate) acme_directory: String,
    /// Certificate in PEM of the authority behind the directory itself, for one of your own
    #[arg(long, value_name = "FILE", requires = "acme_email")]
    pub(crate) acme_root: Option<PathBuf>,
    /// Network of proxies before this Berth, such as `127.0.0.1` or `10.0.0.0/8`: what they say of a caller's address, scheme and host
    /// (`Forwarded`, `X-Forwarded-*`) counts, and nobody else's word does; may be given again
    #[arg(long = "trusted-proxy", value_name = "CIDR", value_parser = network)]
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Registry of npm that packages are fetched from for hosts with `--packages from-control`
    /// (the one that `npm config get registry` says, say)
    #[arg(long, value_name = "URL", env = "BERTH_NPM_REGISTRY")]
    pub(crate) npm_registry: Option<String>,
    /// Index of PyPI, which ends in `/simple`, that packages are fetched from for such hosts
    #[arg(long, value_name = "URL", env = "BERTH_PYPI_INDEX")]
    pub(crate) pypi_index: Option<String>,
    /// Where the files are that this index names, when they are not below its own address
    #[arg(long, value_name = "URL", requires = "pypi_index", env = "BERTH_PYPI_FILES")]
    pub(crate) pypi_files: Option<String>,
    /// Registry of images in a network of yours, or where such a registry has its tokens or its files: `HOST[:PORT]`, or
    /// `http://HOST[:PORT]` for one without TLS. What is on the internet needs not be named; may be given again
    #[arg(
        long = "image-registry",
        value_name = "HOST",
        env = "BERTH_IMAGE_REGISTRIES",
        value_delimiter = ','
    )]
    pub(crate) image_registries: Vec<String>,
    /// Authorization servers of MCP servers that run elsewhere, and documents of MCP clients, may be anywhere, also in this network and
    /// without TLS. Without this Berth asks only those on the internet, since it is strangers that name them
    #[arg(long, env = "BERTH_ALLOW_PRIVATE_UPSTREAMS")]
    pub(crate) allow_private_upstreams: bool,
}

fn email(text: &str) -> Result<String, String> {
    let (user, host) = text.split_once('@').unwrap_or_default();
    let is_plain = text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ',' | '?' | '<' | '>'));
    let is_one = is_plain && !user.is_empty() && host.contains('.') && !host.contains('@');
    is_one.then(|| text.to_owned()).ok_or_else(|| "write an address such as `me@example.com`".to_owned())
}

fn directory(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| error.to_string())?;
    if url.scheme() != "https" || !url.has_host() || !url.username().is_empty() {
        return Err("it must begin with `https://` and name a host".to_owned());
    }
    Ok(text.to_owned())
}

fn network(text: &str) -> Result<IpNet, String> {
    let one = text.parse::<std::net::IpAddr>().map(IpNet::from).ok();
    one.or_else(|| text.parse().ok())
        .ok_or_else(|| "write an address or a network, such as `10.0.0.5` or `10.0.0.0/8`".to_owned())
}

fn public_url(text: &str) -> Result<String, String> {
    Public::new(text, None).map(|public| public.url().to_owned()).map_err(|error| error.to_string())
}
