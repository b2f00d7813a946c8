//! `berth env remove`: a machine that has no instances is an environment no more.

use api::environments::Environment;

use super::path_of;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Removes it, after asking.
pub(super) async fn run(name: &str, yes: bool, client: &Client, output: Output) -> Result<(), CliError> {
    let environment: Environment = client.get(&path_of(name)).await?;
    if !yes {
        let unasked = CliError::usage(format!("removing `{name}` cannot be taken back"))
            .with_hint("say so with `--yes`");
        let status = environment.status;
        let question = format!("Remove the environment `{name}` ({status})? This cannot be taken back.");
        output.confirm(&question, unasked)?;
    }
    client.delete(&path_of(name)).await?;
    output.say(&format!("removed `{name}`: the token of its host agent opens nothing any more"));
    output.hint("stop `berth dtma` on the host; what it has in its data directory can go");
    Ok(())
}
