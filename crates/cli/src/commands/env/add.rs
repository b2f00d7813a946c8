//! `berth env add`: another machine becomes an environment, and the line that is to be run on it.

use api::enrolments::Enrolment;
use api::environments::{AddEnvironmentRequest, Environment, EnvironmentKind};
use serde::Serialize;

use super::{answers, enrol, path_of};
use crate::args::AddHostArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// What was made, and what makes a host that environment.
#[derive(Debug, Serialize)]
struct Added {
    #[serde(flatten)]
    environment: Environment,
    enrolment: Enrolment,
}

/// Adds a host that is there, and prints the line that is to be run on it.
pub(super) async fn host(args: AddHostArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let AddHostArgs { name, address, host_pin, no_check, insecure_http } = args;
    if !no_check {
        answers::check(answers::For::Host, client).await?;
    }
    let request = AddEnvironmentRequest {
        address,
        tls_pin: host_pin.map(|pin| pin.to_string()),
        insecure_http,
        ..AddEnvironmentRequest::new(&name, EnvironmentKind::Host)
    };
    let environment: Environment = client.post("/environments", &request).await?;
    let enrolment: Enrolment =
        client.act(&format!("{}/enrolment", path_of(&name))).await.map_err(|error| {
            CliError::because(format!("`{name}` was made, but no line that enrols its host"), error)
                .with_hint(format!("`berth env enrol {name}` makes one"))
        })?;
    if output.json() {
        output.document(&Added { environment, enrolment: enrolment.clone() })?;
    } else {
        output.say(&format!("`{name}` waits for its host: run this there, as root"));
        output.data(enrolment.command.expose())?;
    }
    enrol::notes(&enrolment, output);
    Ok(())
}
