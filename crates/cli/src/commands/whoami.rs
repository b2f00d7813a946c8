//! `berth whoami`: whom the token speaks for.

use api::server::{CallerSeen, Certificate, CertificateState, Server};
use api::users::WhoAmI;
use serde::Serialize;

use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    me: WhoAmI,
    public_url: String,
    tls_pin: Option<String>,
    caller: Option<CallerSeen>,
    certificate: Option<Certificate>,
}

/// Asks and prints it.
pub(crate) async fn run(client: &Client, output: Output) -> Result<(), CliError> {
    let me: WhoAmI = client.get("/whoami").await?;
    let server: Server = client.get("/server").await?;
    if output.json() {
        let Server { public_url, tls_pin, caller, certificate, .. } = server;
        return output.document(&Whole { me, public_url, tls_pin, caller, certificate });
    }
    let role = serde_json::to_value(me.role).ok().and_then(|v| v.as_str().map(str::to_owned));
    output.data(&format!(
        "{} ({}) in account `{}` at {} (berth {})",
        me.user_name,
        role.unwrap_or_default(),
        me.account_name,
        client.settings().url,
        me.version
    ))?;
    if server.public_url != client.settings().url {
        let pin = server.tls_pin.map(|pin| format!(", with `--tls-pin {pin}`")).unwrap_or_default();
        output.hint(&format!("others reach it at {}{pin}", server.public_url));
    }
    if let Some(certificate) = &server.certificate {
        output.hint(&about(certificate));
    }
    if let Some(caller) = server.caller.filter(|caller| caller.through_proxy) {
        output.hint(&format!("a trusted proxy says you came from {} over {}", caller.address, caller.scheme));
    }
    Ok(())
}

/// How the certificate of the public address stands, and what to do.
fn about(certificate: &Certificate) -> String {
    let Certificate { name, directory, .. } = certificate;
    let until = certificate.expires_at.map(|at| format!(" until {at}")).unwrap_or_default();
    match certificate.state {
        CertificateState::Waiting => format!("{directory} is being asked for a certificate of {name}"),
        CertificateState::Valid => format!("the certificate of {name} is good{until} and renews itself"),
        CertificateState::Failing => {
            let shown = if until.is_empty() {
                "the self-signed one is shown".to_owned()
            } else {
                format!("the one before is shown, good{until}")
            };
            let next =
                certificate.next_try_at.map(|at| format!("; it is asked again at {at}")).unwrap_or_default();
            let (message, hint) = (certificate.message.as_deref(), certificate.hint.as_deref());
            format!(
                "no new certificate of {name}: {}. {shown}{next}. What to do: {}",
                message.unwrap_or("unknown"),
                hint.unwrap_or("wait")
            )
        }
    }
}
