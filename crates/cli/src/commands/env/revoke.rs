//! `berth env revoke`: a machine's host agent may do nothing any more.

use api::environments::Environment;

use super::path_of;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Revokes it, after asking.
pub(super) async fn run(name: &str, yes: bool, client: &Client, output: Output) -> Result<(), CliError> {
    if !yes {
        let unasked = CliError::usage(format!("revoking cuts `{name}` off until a host is enrolled again"))
            .with_hint("say so with `--yes`");
        let question = format!(
            "Cut the host of `{name}` off? Its instances cannot be called until it is enrolled again."
        );
        output.confirm(&question, unasked)?;
    }
    let environment: Environment = client.act(&format!("{}/revoke", path_of(name))).await?;
    if output.json() {
        return output.document(&environment);
    }
    output
        .say(&format!("the token of `{name}`'s host agent opens nothing any more, and its tunnel is closed"));
    output.hint(&format!(
        "what runs on the host goes on until somebody stops it there; `berth env enrol {name}` makes a host this environment again"
    ));
    Ok(())
}
