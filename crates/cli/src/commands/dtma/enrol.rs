//! `berth dtma enrol`: makes this machine an environment of a control plane elsewhere.

use std::io::Read as _;
use std::path::Path;

use domain::secret::Secret;
use dtma::{Config, DtmaError, Enrolment};

use crate::args::{Connection, EnrolArgs};
use crate::data_dir::DataDir;
use crate::error::{CliError, io_failure};
use crate::output::Output;

/// Longer than any token.
const MOST: u64 = 4 << 10;

/// Writes what `berth dtma` reads when it starts.
pub(super) fn run(args: EnrolArgs, connection: &Connection, output: Output) -> Result<(), CliError> {
    let data = DataDir::or_default(connection.data.as_deref());
    let EnrolArgs { environment, control_url, token_file, proxy } = args;
    if let Ok(found) = Config::read(data.dtma(), None)
        && found.environment != environment
    {
        return Err(CliError::failed(format!(
            "`{}` is the environment {} already",
            data.path().display(),
            found.environment
        ))
        .with_hint("name another directory with `--data DIR`; instances stay with their environment"));
    }
    let token = token(&token_file, "berth env token")?;
    let data = data.create()?;
    let tls_pin = connection.tls_pin;
    let enrolment = Enrolment { environment, token, control_url: Some(control_url), tls_pin, proxy };
    dtma::enrol(&data.dtma(), &enrolment).map_err(|error| match error {
        DtmaError::ControlUrl { .. } => CliError::usage(error.to_string())
            .with_hint("write it as `http://10.0.0.1:8420` or `https://berth.example.com`"),
        error => CliError::because("this host cannot be enrolled", error),
    })?;
    output.say(&format!("this host is the environment {environment}"));
    output.hint(&format!(
        "`berth dtma --data {}` starts its host agent, with the options that `berth env add` printed",
        data.path().display()
    ));
    Ok(())
}

/// The token in a file or on standard input. It is repeated in no error.
pub(super) fn token(path: &Path, source: &str) -> Result<Secret, CliError> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(MOST).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text))
    }
    .map_err(|error| io_failure("read", path, error))?;
    let token = text.trim();
    if token.is_empty() || token.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(CliError::usage(format!("`{}` holds no token", path.display()))
            .with_hint(format!("`{source} NAME` prints it, where the control plane is")));
    }
    Ok(Secret::new(token))
}
