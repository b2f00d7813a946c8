//! `berth secret own`: what one brings for oneself to an instance whose callers each bring their own.

use api::own_values::{OwnValues, OwnValuesRequest};
use comfy_table::Cell;
use domain::secret::{Secret, Secrets};

use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Gives, forgets or shows.
pub(crate) async fn run(
    instance: &str,
    given: Vec<(String, Secret)>,
    forget: bool,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let path = Client::instance_path(instance, "/own-values");
    if forget {
        client.delete(&path).await?;
        output.say(&format!("forgot what you brought to `{instance}`"));
        return Ok(());
    }
    if given.is_empty() {
        return show(&client.get(&path).await?, instance, output);
    }
    let mut values = Secrets::new();
    for (key, typed) in given {
        let value = super::deploy::secret_value(&key, typed)?;
        if values.insert(key.clone(), value).is_some() {
            return Err(CliError::usage(format!("`{key}` is given twice")));
        }
    }
    let names: Vec<String> = values.keys().map(|name| format!("`{name}`")).collect();
    let kept: OwnValues = client.put(&path, &OwnValuesRequest { values }).await?;
    if output.json() {
        return output.document(&kept);
    }
    output.say(&format!(
        "kept your own {}; your calls of `{instance}` have it within ten seconds",
        names.join(", ")
    ));
    let missing: Vec<&str> =
        kept.values.iter().filter(|value| !value.is_set).map(|value| value.name.as_str()).collect();
    if !missing.is_empty() {
        output.hint(&format!("it wants your own {} too", missing.join(", ")));
    }
    Ok(())
}

fn show(own: &OwnValues, instance: &str, output: Output) -> Result<(), CliError> {
    if output.json() {
        return output.document(own);
    }
    if own.values.is_empty() {
        output.say(&format!("callers of `{instance}` bring nothing of their own"));
        return Ok(());
    }
    let given = |is_set: bool| if is_set { "given" } else { "not given" };
    let rows =
        own.values.iter().map(|value| [Cell::new(&value.name), Cell::new(given(value.is_set))]).collect();
    output.table(["NAME", "YOURS"], rows)
}
