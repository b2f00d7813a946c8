//! `berth env remove`: a machine that has no instances is an environment no more.

use api::environments::Environment;

use super::path_of;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Removes it, after asking.
pub(super) async fn run(
    name: &str,
    yes: bool,
    no_wait: bool,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let environment: Environment = client.get(&path_of(name)).await?;
    if !yes {
        let unasked = CliError::usage(format!("removing `{name}` cannot be taken back"))
            .with_hint("say so with `--yes`");
        let status = environment.status;
        let question = match &environment.droplet {
            Some(droplet) => format!(
                "Remove the environment `{name}` ({status})? Its droplet{} ({} in {}, ${:.2} a month) is destroyed with all that \
                 is on it. This cannot be taken back.",
                droplet.id.map(|id| format!(" {id}")).unwrap_or_default(),
                droplet.size,
                droplet.region,
                droplet.price_monthly
            ),
            None => format!("Remove the environment `{name}` ({status})? This cannot be taken back."),
        };
        output.confirm(&question, unasked)?;
    }
    client.delete(&path_of(name)).await?;
    if environment.droplet.is_some() {
        return super::droplets::follow_removal(name, no_wait, client, output).await;
    }
    output.say(&format!("removed `{name}`: the token of its host agent opens nothing any more"));
    output.hint("stop `berth dtma` on the host; what it has in its data directory can go");
    Ok(())
}
