//! `berth catalog search|show`: what can be deployed.

use api::catalog::{CatalogItem, Input, InputTarget};
use comfy_table::Cell;

use crate::args::CatalogCommand;
use crate::client::{Client, nearest, path_part};
use crate::error::CliError;
use crate::output::Output;

/// Does one of the two.
pub(crate) async fn run(command: CatalogCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        CatalogCommand::Search { words } => search(&words.join(" "), client, output).await,
        CatalogCommand::Show { name } => show(&name, client, output).await,
    }
}

async fn search(words: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let path = match words {
        "" => "/catalog".to_owned(),
        words => format!("/catalog?search={}", path_part(words)),
    };
    let entries: Vec<CatalogItem> = client.get(&path).await?;
    if output.json() {
        return output.document(&entries);
    }
    let rows = entries
        .iter()
        .map(|CatalogItem { kind, entry }| {
            [
                Cell::new(&entry.name),
                Cell::new(kind),
                Cell::new(&entry.category),
                Cell::new(&entry.package),
                Cell::new(&entry.description),
            ]
        })
        .collect();
    output.table(["NAME", "KIND", "CATEGORY", "PACKAGE", "DESCRIPTION"], rows)?;
    if entries.is_empty() {
        output.say(&format!("nothing in the catalog has `{words}`"));
        output.hint(
            "any package can be deployed by its own name: `npm:PKG`, `pypi:PKG`, `oci:IMAGE` or `file:PATH`",
        );
    } else {
        output.hint("`berth catalog show NAME` shows the settings, `berth deploy NAME --wait` deploys it");
    }
    Ok(())
}

async fn show(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let found: Result<CatalogItem, CliError> = client.get(&format!("/catalog/{}", path_part(name))).await;
    let item = match found {
        Err(error @ CliError::Refused(_)) if error.hint().is_none() => {
            let known: Vec<CatalogItem> = client.get("/catalog").await.unwrap_or_default();
            let names: Vec<&str> = known.iter().map(|item| item.entry.name.as_str()).collect();
            let near = nearest(name, &names).map_or_else(
                || "`berth catalog search` shows all".to_owned(),
                |near| format!("did you mean `{near}`? `berth catalog search` shows all"),
            );
            return Err(error.with_hint(near));
        }
        other => other?,
    };
    if output.json() {
        return output.document(&item);
    }
    let CatalogItem { kind, entry } = item;
    output.data(&format!("{} ({})\n{}\n", entry.title, entry.name, entry.description))?;
    output.data(&format!("kind      {kind}\npackage   {}\ncategory  {}", entry.package, entry.category))?;
    if let Some(container) = &entry.launch.container {
        let ports = container.ports.iter().map(|port| ("port", port.to_string()));
        let volumes = container.volumes.iter().map(|volume| ("volume", volume.to_string()));
        let health = container.health.iter().map(|health| ("health", health.to_string()));
        let profile = entry.launch.profile.iter().map(|profile| ("profile", profile.to_string()));
        for (key, value) in ports.chain(volumes).chain(health).chain(profile) {
            output.data(&format!("{key:<9} {value}"))?;
        }
    }
    if let Some(url) = &entry.documentation_url {
        output.data(&format!("read more {url}"))?;
    }
    let rows: Vec<[Cell; 4]> = entry.inputs.iter().map(input_row).collect();
    if !rows.is_empty() {
        output.data("")?;
        output.table(["SETTING", "TYPE", "DEFAULT", "DESCRIPTION"], rows)?;
    }
    output.hint(&format!("deploy it with `berth deploy {}{} --wait`", entry.name, required(&entry.inputs)));
    Ok(())
}

fn input_row(input: &Input) -> [Cell; 4] {
    let format = serde_json::to_value(input.format).ok().and_then(|v| v.as_str().map(str::to_owned));
    let kind = if input.secret { "secret".to_owned() } else { format.unwrap_or_default() };
    let default = match (&input.default, input.required) {
        (Some(default), _) => default.as_str(),
        (None, true) => "(required)",
        (None, false) => "-",
    };
    let place = match &input.target {
        InputTarget::Env { variable } if *variable != input.name => format!(" (as {variable})"),
        InputTarget::Env { .. } | InputTarget::Argument { .. } => String::new(),
    };
    [
        Cell::new(&input.name),
        Cell::new(kind),
        Cell::new(default),
        Cell::new(format!("{}{place}", input.description)),
    ]
}

fn required(inputs: &[Input]) -> String {
    let flags = inputs.iter().filter(|input| input.required && input.default.is_none()).map(|input| {
        let (flag, value) = if input.secret { ("--secret", "@FILE") } else { ("--set", "…") };
        format!(" {flag} {}={value}", input.name)
    });
    flags.collect::<Vec<_>>().concat()
}
