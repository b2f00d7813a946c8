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
        output.document(&made)?;
    } else {
        output.say(&format!("run this on the host of `{name}`, as root"));
        output.data(made.command.expose())?;
    }
    notes(&made, output);
    Ok(())
}

/// What is to be known of the line.
pub(super) fn notes(made: &Enrolment, output: Output) {
    let (name, url) = (&made.environment, &made.control_url);
    if is_loopback(url) {
        output.warn(&format!(
            "{url} is the control plane's machine alone: start it with `--https-listen` on an address that the host reaches"
        ));
    } else if url.starts_with("http://") {
        output.warn(&format!(
            "{url} is plain HTTP: whoever is between reads the host's token and the secrets of its servers"
        ));
    }
    output.hint(&format!(
        "the line is good for one host until {}; `berth env show {name}` shows when it reports",
        to_the_second(made.expires_at)
    ));
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
