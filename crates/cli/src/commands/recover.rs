//! `berth recover`: the way back in, on Berth's own machine, without a token.

use control::{Config, MASTER_KEY_FILE, Public};
use domain::secret::Secret;
use domain::time::Timestamp;
use serde::Serialize;

use crate::args::{Connection, RecoverArgs};
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::output::Output;
use crate::settings;

/// Where Berth listens when nobody says otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:8420";

#[derive(Debug, Serialize)]
struct Document<'a> {
    user: &'a str,
    link: &'a str,
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

/// Opens the data directory and prints what lets one in.
pub(crate) async fn run(args: RecoverArgs, connection: &Connection, output: Output) -> Result<(), CliError> {
    let data = match &connection.data {
        Some(dir) => DataDir::new(dir),
        None => settings::nearest_data_dir()?.unwrap_or_else(|| DataDir::or_default(None)),
    };
    if !data.control().join(MASTER_KEY_FILE).is_file() {
        let message = format!("there is no Berth in `{}`", data.path().display());
        return Err(CliError::failed(message)
            .with_hint("run it on Berth's own machine, and name its data directory with `--data DIR`"));
    }
    let url = connection.url.clone().filter(|url| !url.is_empty());
    let url = url.or_else(|| settings::url_of(&data)).unwrap_or_else(|| DEFAULT_URL.to_owned());
    let public = Public::new(&url, None)
        .map_err(|error| CliError::because(format!("`{url}` is no address of a Berth"), error))?;
    let url = public.url().to_owned();
    let config = Config {
        database: args.database.as_ref().map(|database| database.expose().to_owned()),
        ..Config::new(data.control(), public)
    };
    let made = control::recover(&config, "berth recover", args.user.as_deref(), args.with_token)
        .await
        .map_err(super::server::failure)?;
    let link = format!("{url}{}?next=/you", made.link_path.expose());
    let token = made.api_token.as_ref().map(Secret::expose);
    if output.json() {
        let user = made.user_name.as_str();
        return output.document(&Document { user, link: &link, expires_at: made.expires_at, token });
    }
    output.data(&link)?;
    if let Some(token) = token {
        output.data(token)?;
    }
    output.say(&format!(
        "the link signs `{}` in, once, until {}; where Berth is reached at another address, put that in front",
        made.user_name, made.expires_at
    ));
    output.hint("set a new password on the page that comes");
    Ok(())
}
