//! `berth whoami`: whom the token speaks for.

use api::users::WhoAmI;

use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Asks and prints it.
pub(crate) async fn run(client: &Client, output: Output) -> Result<(), CliError> {
    let me: WhoAmI = client.get("/whoami").await?;
    if output.json() {
        return output.document(&me);
    }
    let role = serde_json::to_value(me.role).ok().and_then(|v| v.as_str().map(str::to_owned));
    output.data(&format!(
        "{} ({}) in account `{}` at {} (berth {})",
        me.user_name,
        role.unwrap_or_default(),
        me.account_name,
        client.settings().url,
        me.version
    ))
}
