//! `berth backup` and `berth restore`: the control plane in a file and back, by whoever may read its files.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use control::{BackupError, Config, Contents, MASTER_KEY_FILE, Public};
use domain::secret::Secret;

use super::key;
use crate::args::{BackupArgs, Connection, RestoreArgs};
use crate::data_dir::DataDir;
use crate::error::{CliError, io_failure};
use crate::output::Output;
use crate::settings::{self, MASTER_KEY_VARIABLE};

/// Writes a backup.
pub(crate) async fn back_up(
    args: BackupArgs,
    connection: &Connection,
    output: Output,
) -> Result<(), CliError> {
    let data = match &connection.data {
        Some(dir) => DataDir::new(dir),
        None => settings::nearest_data_dir()?.unwrap_or_else(|| DataDir::or_default(None)),
    };
    let config = config(&data, args.database.as_ref())?;
    if config.master_key.is_none() && !config.data.join(MASTER_KEY_FILE).is_file() {
        let message = format!("there is no Berth in `{}`", data.path().display());
        return Err(CliError::failed(message)
            .with_hint("run it on Berth's own machine, and name its data directory with `--data DIR`"));
    }
    if is_stream(&args.file) && io::stdout().is_terminal() {
        return Err(CliError::failed("a backup is no text that a terminal could show")
            .with_hint("name a file, or hand it on: `berth backup - | ssh HOST 'cat > berth.backup'`"));
    }
    let mut steps = output.steps();
    steps.show("copying what the control plane knows", None);
    let contents = if is_stream(&args.file) {
        control::back_up(&config, !args.without_key, &mut io::stdout()).await.map_err(failure)
    } else {
        write_file(&config, &args).await
    };
    steps.end();
    let contents = contents?;
    if output.json() && !is_stream(&args.file) {
        return output.document(&document(&contents));
    }
    output.say(&format!("the backup has {}", told(&contents)));
    if contents.has_key {
        output.hint("it holds the keys: whoever reads the file reads every secret");
    } else {
        output.hint(&format!(
            "keep the master key elsewhere, without it nothing can be restored: it is {}",
            contents.key_source
        ));
    }
    Ok(())
}

async fn write_file(config: &Config, args: &BackupArgs) -> Result<Contents, CliError> {
    let path = &args.file;
    let taken = || {
        CliError::failed(format!("`{}` is there already", path.display()))
            .with_hint("give another name, or replace it with `--force`")
    };
    // Asked before the work, and once more when the file gets its name.
    if !args.force && path.exists() {
        return Err(taken());
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A temporary file is made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(|e| io_failure("write to", dir, e))?;
    let contents = control::back_up(config, !args.without_key, &mut file).await.map_err(failure)?;
    file.as_file().sync_all().map_err(|e| io_failure("write", path, e))?;
    let kept = if args.force { file.persist(path) } else { file.persist_noclobber(path) };
    match kept {
        Ok(_) => Ok(contents),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(taken()),
        Err(error) => Err(io_failure("write", path, error.error)),
    }
}

/// Makes a control plane of a backup.
pub(crate) async fn restore(
    args: RestoreArgs,
    connection: &Connection,
    output: Output,
) -> Result<(), CliError> {
    let open = || File::open(&args.file).map_err(|e| io_failure("read", &args.file, e));
    let mut file: Box<dyn Read + Send> =
        if is_stream(&args.file) { Box::new(io::stdin()) } else { Box::new(open()?) };
    let data = DataDir::or_default(connection.data.as_deref()).create()?;
    let config = config(&data, args.database.as_ref())?;
    // No control plane starts on what is not whole.
    let _lock = data.lock()?;
    let mut steps = output.steps();
    steps.show("restoring what the control plane knew", None);
    let contents = control::restore(&config, &mut file).await.map_err(failure);
    steps.end();
    let contents = contents?;
    if output.json() {
        return output.document(&document(&contents));
    }
    output.say(&format!("restored {}", told(&contents)));
    output.hint(&format!("start it with `berth up --data {}`", data.path().display()));
    output.hint("hosts come back by themselves where they reach it at the address that they know");
    output.hint("tokens are as they were: what was revoked since then has to be revoked again");
    Ok(())
}

fn config(data: &DataDir, database: Option<&Secret>) -> Result<Config, CliError> {
    // Nothing is served, so nobody is told this address.
    let public = Public::new("http://127.0.0.1", None)
        .map_err(|error| CliError::because("cannot look at the control plane", error))?;
    Ok(Config {
        database: database.map(|database| database.expose().to_owned()),
        master_key: key::given()?,
        ..Config::new(data.control(), public)
    })
}

fn is_stream(file: &Path) -> bool {
    file == Path::new("-")
}

fn told(contents: &Contents) -> String {
    let count = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    format!(
        "{}, {} and {} as they were at {}",
        count(contents.accounts, "account"),
        count(contents.environments, "environment"),
        count(contents.instances, "instance"),
        contents.made_at
    )
}

fn document(contents: &Contents) -> serde_json::Value {
    serde_json::json!({
        "made_at": contents.made_at,
        "version": contents.version,
        "accounts": contents.accounts,
        "environments": contents.environments,
        "instances": contents.instances,
        "has_key": contents.has_key,
    })
}

fn failure(error: BackupError) -> CliError {
    match &error {
        BackupError::Occupied { .. } => CliError::failed(error.to_string())
            .with_hint("restore into another directory with `--data DIR`, or move what is there away"),
        BackupError::NoKey => CliError::failed(error.to_string()).with_hint(format!(
            "give it with {MASTER_KEY_VARIABLE}, or put it at `control/{MASTER_KEY_FILE}` in the data directory"
        )),
        BackupError::Start(_) | BackupError::File { .. } => CliError::because(error.to_string(), error),
    }
}
