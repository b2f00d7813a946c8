//! `berth env enrol`: the line that makes a host an environment, or makes it one again.

use api::enrolments::Enrolment;

use super::super::instances::to_the_second;
use super::path_of;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Has a one-time token made, and prints the line that it is in.
pub(super) async fn run(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let made: Enrolment = client.act(&format!("{}/enrolment", path_of(name))).await?;
    if output.json() {
        return output.document(&made);
    }
    output.data(made.command.expose())?;
    output.hint(&format!(
        "run it on the host, as root: it is good for one host until {}; `berth env show {name}` shows when it reports",
        to_the_second(made.expires_at)
    ));
    Ok(())
}
