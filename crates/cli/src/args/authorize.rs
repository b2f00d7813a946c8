//! The flags of `berth authorize`.

use clap::Args;
use domain::secret::Secret;

/// `berth authorize`.
#[derive(Debug, Args)]
pub(crate) struct AuthorizeArgs {
    /// The instance, whose server runs elsewhere
    pub(crate) name: String,
    /// Wait until somebody has opened the address and agreed
    #[arg(long, conflicts_with_all = ["status", "forget"])]
    pub(crate) wait: bool,
    /// Show how the authorization stands, and begin none
    #[arg(long, conflicts_with = "forget")]
    pub(crate) status: bool,
    /// Give up what was authorized
    #[arg(long)]
    pub(crate) forget: bool,
    /// Id of a client that was registered by hand, for authorization servers that take no other
    #[arg(long, value_name = "ID", requires = "issuer", conflicts_with_all = ["status", "forget"])]
    pub(crate) client_id: Option<String>,
    /// The authorization server that knows that client, as it writes itself, such as `https://auth.example.com`
    #[arg(long, value_name = "URL", requires = "client_id")]
    pub(crate) issuer: Option<String>,
    /// The client's secret, or `@FILE`, which keeps it off the command line
    #[arg(long, value_name = "SECRET", requires = "client_id", value_parser = super::secret)]
    pub(crate) client_secret: Option<Secret>,
}
