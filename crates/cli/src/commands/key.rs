//! `berth key status|rotate`: the master key, on the control plane's machine, by whoever may read its files.

use std::path::PathBuf;

use comfy_table::Cell;
use control::{Config, GivenKey, KeyVersion, Public};
use domain::secret::Secret;

use crate::args::{Connection, KeyArgs, KeyCommand};
use crate::data_dir::DataDir;
use crate::error::{CliError, io_failure};
use crate::output::Output;
use crate::settings::{CREDENTIALS_VARIABLE, MASTER_KEY_CREDENTIAL, MASTER_KEY_VARIABLE};

/// The master key that was given, in the environment or as a credential of systemd's.
///
/// # Errors
/// When both were, or the credential cannot be read.
pub(crate) fn given() -> Result<Option<GivenKey>, CliError> {
    let variable = std::env::var(MASTER_KEY_VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let variable = variable.map(|text| GivenKey {
        text: Secret::new(text),
        from: format!("the variable {MASTER_KEY_VARIABLE}"),
    });
    let path =
        std::env::var_os(CREDENTIALS_VARIABLE).map(|dir| PathBuf::from(dir).join(MASTER_KEY_CREDENTIAL));
    let credential = match path {
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => {
                let from = format!("the credential {MASTER_KEY_CREDENTIAL}");
                Some(GivenKey { text: Secret::new(text), from })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_failure("read the master key", &path, error)),
        },
        None => None,
    };
    match (variable, credential) {
        (Some(_), Some(_)) => Err(CliError::usage(format!(
            "there are two master keys, in {MASTER_KEY_VARIABLE} and as the credential {MASTER_KEY_CREDENTIAL}: give one"
        ))),
        (variable, credential) => Ok(variable.or(credential)),
    }
}

/// Does one of the two.
pub(crate) async fn run(
    command: KeyCommand,
    connection: &Connection,
    output: Output,
) -> Result<(), CliError> {
    match command {
        KeyCommand::Status(args) => status(&config(&args, connection)?, output).await,
        KeyCommand::Rotate(args) => rotate(&config(&args, connection)?, output).await,
    }
}

fn config(args: &KeyArgs, connection: &Connection) -> Result<Config, CliError> {
    let data = DataDir::or_default(connection.data.as_deref());
    if !data.control().is_dir() {
        return Err(CliError::failed(format!("{} is no data directory of Berth's", data.path().display()))
            .with_hint("name it with `--data DIR`, on the machine of the control plane"));
    }
    // Nothing is served, so nobody is told this address.
    let public = Public::new("http://127.0.0.1", None)
        .map_err(|error| CliError::because("cannot look at the master key", error))?;
    Ok(Config {
        database: args.database.as_ref().map(|database| database.expose().to_owned()),
        master_key: given()?,
        ..Config::new(data.control(), public)
    })
}

async fn status(config: &Config, output: Output) -> Result<(), CliError> {
    let status = control::key_status(config).await.map_err(failure)?;
    if output.json() {
        let versions = status.versions.iter().map(
            |one| serde_json::json!({ "version": one.version, "sealed": one.sealed, "use": purpose(one) }),
        );
        return output.document(&serde_json::json!({
            "source": status.source, "versions": versions.collect::<Vec<_>>(), "lost": status.lost,
        }));
    }
    output.say(&format!("the master key is {}", status.source));
    let rows = status
        .versions
        .iter()
        .map(|one| [Cell::new(one.version), Cell::new(one.sealed), Cell::new(purpose(one))]);
    output.table(["VERSION", "SEALED", "USE"], rows.collect())?;
    if status.lost != 0 {
        output.warn(&format!("{} stored secrets are sealed with a version that is not there", status.lost));
    }
    Ok(())
}

fn purpose(version: &KeyVersion) -> &'static str {
    match (version.newest, version.derives) {
        (true, true) => "seals what is new; the keys of instances come from it",
        (true, false) => "seals what is new",
        (false, true) => "stays: the keys of instances come from it",
        (false, false) if version.is_unused() => "none: the next start drops it",
        (false, false) => "opens what was sealed before",
    }
}

async fn rotate(config: &Config, output: Output) -> Result<(), CliError> {
    let (version, done) = control::rotate_key(config).await.map_err(failure)?;
    if output.json() {
        output.document(&serde_json::json!({
            "version": version, "sealed": done.moved, "unreadable": done.unreadable,
        }))?;
    } else {
        output.say(&format!(
            "version {version} of the master key is in use: {} stored secrets were sealed anew",
            done.moved
        ));
        output.hint("keep a copy of `control/master.key` with your backups: without it they cannot be read");
    }
    if done.unreadable.is_empty() {
        return Ok(());
    }
    Err(CliError::failed(format!("{} stored secrets do not open: {}", done.unreadable.len(), done.unreadable.join(", ")))
        .with_hint("add the version of the master key that they were sealed with to `control/master.key`, or give them anew"))
}

fn failure(error: control::StartError) -> CliError {
    CliError::because("the master key cannot be used", error)
}
