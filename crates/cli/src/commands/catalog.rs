//! `berth catalog …`: what can be deployed, and where that is read from.

use std::time::Duration;

use api::catalog::{AddEntries, AddedEntries, CatalogItem, Input, InputTarget, Sort};
use api::catalog_sources::{AddSourceRequest, CatalogSource};
use comfy_table::Cell;
use domain::package::Package;
use domain::server_json;

use crate::args::{CatalogCommand, SearchArgs, SortChoice};
use crate::client::{Client, nearest, path_part};
use crate::error::CliError;
use crate::output::Output;

/// The source that has no address to be typed.
const OFFICIAL: &str = "official";
/// Entries of one request.
const BATCH: usize = 200;
/// Between two looks at a reading.
const LOOK: Duration = Duration::from_millis(500);

/// Does what was asked.
pub(crate) async fn run(command: CatalogCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        CatalogCommand::Search(args) => search(&args, client, output).await,
        CatalogCommand::Show { name } => show(&name, client, output).await,
        CatalogCommand::Add { from, name } if from == OFFICIAL || from.contains("://") => {
            let request = AddSourceRequest { url: from, name };
            let source: CatalogSource = client.post("/catalog-sources", &request).await?;
            follow(&[source.name], client, output).await
        }
        CatalogCommand::Add { name: Some(_), .. } => {
            Err(CliError::usage("`--name` is for registries; the entries of a file have their own names"))
        }
        CatalogCommand::Add { from, name: None } => add(&from, client, output).await,
        CatalogCommand::Sync { source } => sync(source, client, output).await,
        CatalogCommand::Sources => sources(client, output).await,
        CatalogCommand::RemoveSource { name } => {
            client.delete(&format!("/catalog-sources/{}", path_part(&name))).await?;
            output.say(&format!("removed `{name}` and its entries from the catalog"));
            output.hint("what was deployed from it goes on; `berth list` shows it");
            Ok(())
        }
    }
}

async fn search(args: &SearchArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let words = args.words.join(" ");
    let mut path = format!("/catalog?limit={}", args.limit);
    let sort = args.sort.map(|sort| match sort {
        SortChoice::Relevance => Sort::Relevance,
        SortChoice::Name => Sort::Name,
        SortChoice::Newest => Sort::Newest,
    });
    let sort = sort.and_then(|sort| serde_json::to_value(sort).ok()?.as_str().map(str::to_owned));
    let is = |is: bool| is.then(|| "true".to_owned());
    for (key, value) in [
        ("search", Some(words.clone()).filter(|words| !words.is_empty())),
        ("category", args.category.clone()),
        ("verified", is(args.verified)),
        ("offline", is(args.offline)),
        ("deployable", is(args.deployable)),
        ("sort", sort),
    ] {
        if let Some(value) = value {
            path.extend(["&", key, "=", &path_part(&value)]);
        }
    }
    let entries: Vec<CatalogItem> = client.get(&path).await?;
    if output.json() {
        return output.document(&entries);
    }
    let rows = entries
        .iter()
        .map(|CatalogItem { kind, entry }| {
            let package =
                entry.deployable().map_or_else(|_| "(cannot be deployed)".to_owned(), Package::to_string);
            [
                Cell::new(&entry.name),
                Cell::new(kind),
                Cell::new(&entry.category),
                Cell::new(package),
                Cell::new(&entry.description),
            ]
        })
        .collect();
    output.table(["NAME", "KIND", "CATEGORY", "PACKAGE", "DESCRIPTION"], rows)?;
    if entries.is_empty() {
        output.say(&format!("nothing in the catalog has `{words}`"));
        output.hint(
            "any package can be deployed by its own name: `npm:PKG`, `pypi:PKG`, `oci:IMAGE` or `file:PATH`; \
             `berth catalog add official` reads the MCP Registry",
        );
    } else if entries.len() == args.limit as usize {
        output
            .hint(&format!("these are the first {}; more words find less, `--limit` shows more", args.limit));
    } else {
        output.hint("`berth catalog show NAME` shows the settings, `berth deploy NAME --wait` deploys it");
    }
    Ok(())
}

async fn add(file: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let text = if file == "-" {
        std::io::read_to_string(std::io::stdin()).map(String::into_bytes)
    } else {
        std::fs::read(file)
    };
    let text = text.map_err(|error| CliError::because(format!("cannot read `{file}`"), error))?;
    let entries =
        server_json::split(&text).map_err(|error| CliError::failed(format!("`{file}`: {error}")))?;
    let (all, mut done, mut total) = (entries.len(), 0, AddedEntries::default());
    let mut steps = output.steps();
    for batch in entries.chunks(BATCH) {
        let request = AddEntries { entries: batch.to_vec() };
        let added: AddedEntries = client.post("/catalog", &request).await?;
        total.added += added.added;
        total.updated += added.updated;
        total.unchanged += added.unchanged;
        total.refused.extend(added.refused);
        done += batch.len();
        let percent = u8::try_from(done * 100 / all.max(1)).unwrap_or(100);
        steps.detail(&format!("{done} of {all} entries"), Some(percent));
    }
    steps.end();
    if output.json() {
        return output.document(&total);
    }
    for refused in &total.refused {
        let name = if refused.name.is_empty() { "an entry" } else { &refused.name };
        output.warn(&format!("{name}: {}", refused.why));
    }
    output.say(&format!("{} added, {} changed, {} as before", total.added, total.updated, total.unchanged));
    if total.added + total.updated + total.unchanged == 0 {
        return Err(CliError::failed(format!("nothing in `{file}` could be taken")));
    }
    output.hint("`berth catalog search` lists them, `berth deploy NAME --wait` deploys one");
    Ok(())
}

async fn sync(source: Option<String>, client: &Client, output: Output) -> Result<(), CliError> {
    let names = if let Some(name) = source {
        vec![name]
    } else {
        let all: Vec<CatalogSource> = client.get("/catalog-sources").await?;
        all.into_iter().map(|source| source.name).collect()
    };
    if names.is_empty() {
        output.say("the catalog is read from no registry");
        output
            .hint("`berth catalog add official` adds the MCP Registry, `berth catalog add URL` another one");
        return Ok(());
    }
    for name in &names {
        let path = format!("/catalog-sources/{}/sync", path_part(name));
        let _: CatalogSource = client.act(&path).await?;
    }
    follow(&names, client, output).await
}

/// Says how far readings are until each has ended.
async fn follow(names: &[String], client: &Client, output: Output) -> Result<(), CliError> {
    let mut steps = output.steps();
    let ended = loop {
        let all: Vec<CatalogSource> = client.get("/catalog-sources").await?;
        let ours: Vec<CatalogSource> =
            all.into_iter().filter(|source| names.contains(&source.name)).collect();
        let Some(reading) = ours.iter().find(|source| source.reading) else { break ours };
        steps.detail(&format!("{}: {} entries", reading.name, reading.entries), None);
        tokio::time::sleep(LOOK).await;
    };
    steps.end();
    if output.json() {
        output.document(&ended)?;
    }
    for source in &ended {
        match &source.error {
            Some(error) => output.warn(&format!("{}: {error}", source.name)),
            None if source.skipped == 0 => {
                output.say(&format!("{}: {} entries read", source.name, source.entries));
            }
            None => output.say(&format!(
                "{}: {} entries read, {} not taken",
                source.name, source.entries, source.skipped
            )),
        }
    }
    if ended.iter().any(|source| source.error.is_some()) {
        return Err(CliError::failed("not everything could be read; it is tried again by itself"));
    }
    output.hint("it is read again about once an hour; `berth catalog search` lists what there is");
    Ok(())
}

async fn sources(client: &Client, output: Output) -> Result<(), CliError> {
    let sources: Vec<CatalogSource> = client.get("/catalog-sources").await?;
    if output.json() {
        return output.document(&sources);
    }
    let rows = sources
        .iter()
        .map(|source| {
            let read = match (&source.error, source.read_at) {
                (Some(error), _) => error.clone(),
                (None, Some(at)) => super::instances::to_the_second(at),
                (None, None) => "now".to_owned(),
            };
            [Cell::new(&source.name), Cell::new(&source.url), Cell::new(source.entries), Cell::new(read)]
        })
        .collect();
    output.table(["NAME", "ADDRESS", "ENTRIES", "READ"], rows)?;
    if sources.is_empty() {
        output.hint("`berth catalog add official` adds the MCP Registry");
    }
    Ok(())
}

async fn show(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let found: Result<CatalogItem, CliError> = client.get(&format!("/catalog/{}", path_part(name))).await;
    let item = match found {
        Err(error @ CliError::Refused(_)) if error.hint().is_none() => {
            let known: Vec<CatalogItem> = client.get("/catalog?limit=1000").await.unwrap_or_default();
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
    let package = entry.package.as_ref().map_or("-".to_owned(), ToString::to_string);
    output.data(&format!("kind      {kind}\npackage   {package}\ncategory  {}", entry.category))?;
    let listing = &entry.listing;
    for (key, value) in [
        ("version", listing.version.as_ref()),
        ("publisher", listing.publisher.as_ref()),
        ("source", listing.source.as_ref()),
        ("code", listing.repository_url.as_ref()),
    ] {
        if let Some(value) = value {
            output.data(&format!("{key:<9} {value}"))?;
        }
    }
    if !listing.status.is_active() {
        let why = listing.status_message.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        output.warn(&format!("its registry says that it is {}{why}", listing.status.as_str()));
    }
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
    if let Err(why) = entry.deployable() {
        output.warn(&format!("it cannot be deployed: {why}"));
        return Ok(());
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
        InputTarget::Header { header } if *header != input.name => format!(" (as the header {header})"),
        InputTarget::Env { .. }
        | InputTarget::Argument { .. }
        | InputTarget::Header { .. }
        | InputTarget::Address
        | InputTarget::Part => String::new(),
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
