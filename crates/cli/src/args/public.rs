//! What can be typed about the address that others use.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use control::Public;

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
}

fn public_url(text: &str) -> Result<String, String> {
    Public::new(text, None).map(|public| public.url().to_owned()).map_err(|error| error.to_string())
}
