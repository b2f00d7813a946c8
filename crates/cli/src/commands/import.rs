//! `berth import legacy`: an older platform's database, taken over on the control plane's machine.

use comfy_table::Cell;
use control::{Config, ImportOptions, ImportReport, MASTER_KEY_FILE, Problem, Public, StartError, Verdict};

use crate::args::{Connection, ImportCommand, LegacyArgs};
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::output::Output;
use crate::settings;

/// Says what would come, or takes it over.
pub(crate) async fn run(
    command: ImportCommand,
    connection: &Connection,
    output: Output,
) -> Result<(), CliError> {
    let ImportCommand::Legacy(args) = command;
    let config = config(&args, connection)?;
    let options = ImportOptions {
        account: args.account,
        supabase: args.supabase,
        insecure_http: args.insecure_http,
        apply: args.apply,
    };
    let report = control::import_legacy(&config, &args.source, &options).await.map_err(failure)?;
    if output.json() {
        return output.document(&report);
    }
    show(&report, output)
}

fn config(args: &LegacyArgs, connection: &Connection) -> Result<Config, CliError> {
    let data = match &connection.data {
        Some(dir) => DataDir::new(dir),
        None => settings::nearest_data_dir()?.unwrap_or_else(|| DataDir::or_default(None)),
    };
    let master_key = super::key::given()?;
    if master_key.is_none() && !data.control().join(MASTER_KEY_FILE).is_file() {
        let message = format!("there is no Berth in `{}`", data.path().display());
        return Err(CliError::failed(message).with_hint(
            "start one with `berth up`, run this on its machine, and name its data directory with `--data DIR`",
        ));
    }
    // Nothing is served, so nobody is told this address.
    let public = Public::new("http://127.0.0.1", None)
        .map_err(|error| CliError::because("cannot begin the import", error))?;
    Ok(Config {
        database: args.database.as_ref().map(|database| database.expose().to_owned()),
        master_key,
        ..Config::new(data.control(), public)
    })
}

fn failure(error: StartError) -> CliError {
    match error {
        StartError::Import(Problem::Refused(detail)) => {
            let failed = CliError::failed(detail.message);
            match detail.hint {
                Some(hint) => failed.with_hint(hint),
                None => failed,
            }
        }
        error => {
            CliError::because("the import ended; what it had finished stays, and it can be repeated", error)
        }
    }
}

fn show(report: &ImportReport, output: Output) -> Result<(), CliError> {
    let rows = report.lines.iter().map(|line| {
        [
            Cell::new(line.verdict.word()),
            Cell::new(line.kind),
            Cell::new(&line.name),
            Cell::new(line.account.as_ref().map_or("", |account| account.as_str())),
            Cell::new(line.note.as_deref().unwrap_or_default()),
        ]
    });
    output.table(["", "WHAT", "NAME", "ACCOUNT", "NOTE"], rows.collect())?;
    output.say(&format!("found of the older platform: {}", report.generations.join(", ")));
    let counts: Vec<String> = Verdict::ALL
        .into_iter()
        .map(|verdict| (report.count(verdict), verdict.word()))
        .filter(|(count, _)| *count != 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    output.say(&counts.join(", "));
    if report.applied {
        output.say("it was taken over; a control plane that runs sees it within seconds");
    } else if report.count(Verdict::Create) == 0 {
        output.say("there is nothing to take over");
    } else {
        output.hint("nothing was changed: the same with `--apply` takes it over");
    }
    Ok(())
}
