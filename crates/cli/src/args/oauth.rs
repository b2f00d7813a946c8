//! What can be typed about OAuth: clients that are registered by hand, and what people allowed clients.

use std::path::PathBuf;

use clap::Subcommand;

/// `berth client …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Register an OAuth client by hand; its secret is shown once. MCP clients of today register themselves
    Create {
        /// What people are shown
        name: String,
        /// Where people are sent back to, to the letter; may be repeated. Without one the client gets tokens for itself
        #[arg(long = "redirect-uri", value_name = "URI")]
        redirect_uris: Vec<String>,
        /// It is a program on people's machines and can keep no secret
        #[arg(long)]
        public: bool,
        /// File with its public keys, as a JSON Web Key Set: it proves who it is by signing instead of by a secret
        #[arg(long, value_name = "FILE", conflicts_with = "public")]
        jwks: Option<PathBuf>,
    },
    /// List the clients that were registered by hand
    List,
    /// Forget a client; what it was allowed ends at once
    #[command(visible_alias = "rm")]
    Remove {
        /// Its id or its name, as `berth client list` shows them
        #[arg(value_name = "CLIENT")]
        which: String,
    },
}

/// `berth grant …`.
#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// List what people allowed clients
    List,
    /// Take back what was allowed; it ends at once
    Revoke {
        /// Its id, or the name of the client, as `berth grant list` shows them
        #[arg(value_name = "GRANT")]
        which: String,
    },
}
