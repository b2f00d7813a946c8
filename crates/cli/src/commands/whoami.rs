//! `berth whoami`: whom the token speaks for.

use api::server::Server;
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
}

/// Asks and prints it.
pub(crate) async fn run(client: &Client, output: Output) -> Result<(), CliError> {
    let me: WhoAmI = client.get("/whoami").await?;
    let server: Server = client.get("/server").await?;
    if output.json() {
        return output.document(&Whole { me, public_url: server.public_url, tls_pin: server.tls_pin });
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
    Ok(())
}
