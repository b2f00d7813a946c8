//! The flags of `berth connect`.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clients::Client;

/// `berth connect`.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Name of the instance
    #[arg(required_unless_present = "check", default_value_t, hide_default_value = true)]
    pub(crate) name: String,
    /// Do what a client does with an MCP address, step by step, and say which step fails and why
    #[arg(long, value_name = "URL", conflicts_with_all = ["name", "client"])]
    pub(crate) check: Option<String>,
    /// Only the configuration of this client, ready to be piped
    #[arg(long, value_parser = client())]
    pub(crate) client: Option<Client>,
    /// Put it into the client's own file, which keeps everything else that is in it; what it was lies beside it then
    #[arg(long, requires = "client")]
    pub(crate) write: bool,
    /// Leave the token out: the client signs in with a browser
    #[arg(long)]
    pub(crate) no_token: bool,
}

fn client() -> impl TypedValueParser<Value = Client> {
    let values = Client::ALL.map(|client| PossibleValue::new(client.word()).help(client.title()));
    PossibleValuesParser::new(values).map(|word| Client::of_word(&word).unwrap_or(Client::Json))
}
