//! What can be typed about registries of images: `berth registry …`.

use clap::Subcommand;

/// `berth registry …`.
#[derive(Debug, Subcommand)]
pub(crate) enum RegistryCommand {
    /// Keep a login; the host that pulls an image of the registry is told it, before it looks for one of its own
    Login {
        /// The registry, as the names of its images begin, such as `ghcr.io`; `docker.io` for Docker Hub
        host: String,
        /// User at the registry
        #[arg(long, short, value_name = "USER")]
        username: String,
        /// Read the password, or a token that takes its place, from standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// List the registries that there is a login for
    List,
    /// Forget the login of a registry
    Logout {
        /// The registry
        host: String,
    },
}
