//! `berth env add`: another machine becomes an environment, and what is to be done on it.

use api::environments::{AddEnvironmentRequest, Environment, EnvironmentKind};

use crate::args::AddHostArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Adds a host that is there, and says how to go on there.
pub(super) async fn host(args: AddHostArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let AddHostArgs { name, address, insecure_http } = args;
    let request = AddEnvironmentRequest {
        address,
        insecure_http,
        ..AddEnvironmentRequest::new(&name, EnvironmentKind::Host)
    };
    let added: Environment = client.post("/environments", &request).await?;
    let url = &client.settings().url;
    if output.json() {
        output.document(&added)?;
    } else {
        output.data(&steps(&added, request.address.as_deref(), url))?;
    }
    if is_loopback(url) {
        output.warn(&format!(
            "{url} is this machine alone: give the host an address that it reaches, and start the control plane with \
             `--listen` on it"
        ));
    }
    output.hint(&format!("`berth env show {}` shows when it reports", added.name));
    Ok(())
}

/// The token is on no line of this: it is piped from where it may be read to where it belongs.
fn steps(added: &Environment, address: Option<&str>, url: &str) -> String {
    let (name, id) = (&added.name, added.id);
    let enrol = format!("berth dtma enrol --environment {id} --control-url {url} --token-file -");
    let start = match address {
        Some(address) => format!("--listen {address} --insecure-http"),
        // It is as open to whoever is between as the control plane's own address.
        None if url.starts_with("http://") && !is_loopback(url) => "--tunnel --insecure-http".to_owned(),
        None => "--tunnel".to_owned(),
    };
    format!(
        "`{name}` waits for its host. On the host, with this program there and as root:\n\n  \
         {enrol}\n  berth dtma {start}\n\n\
         The first reads the host's token from standard input, where `berth env token {name}` prints it; in one line from here:\n\n  \
         berth env token {name} | ssh HOST {enrol}"
    )
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
