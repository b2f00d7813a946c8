//! `berth dtma pin`: the key of this host, for a control plane that dials it.

use hop::tls::{Files, Pin};

use crate::args::Connection;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::output::Output;

/// Prints the pin. The host need not be enrolled: its environment is added with it.
pub(super) fn run(connection: &Connection, output: Output) -> Result<(), CliError> {
    let data = DataDir::or_default(connection.data.as_deref()).create()?;
    let pin = own_pin(&data)?.to_string();
    if output.json() {
        return output.document(&serde_json::json!({ "tls_pin": pin }));
    }
    output.data(&pin)
}

/// The pin of this host's own key.
pub(crate) fn own_pin(data: &DataDir) -> Result<Pin, CliError> {
    files(data)?.pin().map_err(failure)
}

/// The key and the certificate, made when they are not there. Whoever dials has the pin and looks at no name.
pub(super) fn files(data: &DataDir) -> Result<Files, CliError> {
    Files::own(&data.dtma().join("tls"), &["localhost".to_owned()]).map_err(failure)
}

/// Why there is no key.
pub(super) fn failure(error: hop::tls::TlsError) -> CliError {
    CliError::because("this host's own certificate cannot be used", error)
}
