//! `berth dtma check`: whether this machine can be an environment. It gathers facts, judges them, and changes nothing.

use std::path::Path;

use domain::checks::{Stage, judge};
use dtma::checks::gather;

use super::install::DATA;
use crate::args::{CheckArgs, Connection};
use crate::commands::env::check::show;
use crate::error::CliError;
use crate::output::Output;

/// Looks, and says what was found.
pub(super) async fn run(args: &CheckArgs, connection: &Connection, output: Output) -> Result<(), CliError> {
    let data = connection.data.as_deref().unwrap_or(Path::new(DATA));
    let way = (connection.tls_pin, args.proxy.as_ref());
    let facts = gather(args.control_url.as_deref(), way, data, Stage::Candidate).await;
    show(&judge(&facts), "keeps this machine from being an environment", output)
}
