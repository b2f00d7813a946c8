//! Templates of the older front end: entries of the catalog, of which an operator adds those of a namespace of their own. What a version
//! is never changes, so a change is a new version, and one that is deleted is withdrawn.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::catalog::{AddEntries, CatalogEntry, CatalogQuery, Kind};
use api::errors::ErrorCode;
use domain::package::Package;
use domain::server_json::{Document, PROVIDED};
use serde_json::{Map, Value, json};

use crate::app::{App, Outcome, Problem, catalog};
use crate::auth::Caller;
use crate::directory::now;

/// Before the names of what is registered here.
const NAMESPACE: &str = "templates/";
/// Where it has what its registry says.
const OFFICIAL: &str = "io.modelcontextprotocol.registry/official";
/// The most that are listed.
const MOST: u32 = 1000;
const CATEGORIES: [&str; 4] = ["productivity", "development", "data", "communication"];
const HINTS: [&str; 3] = ["light", "medium", "heavy"];
/// The version of one that says none.
const FIRST_VERSION: &str = "1.0.0";

/// What somebody registers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Template {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) image: String,
    pub(crate) category: String,
    pub(crate) hint: String,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) is_official: bool,
    pub(crate) version: Option<String>,
    pub(crate) author: Option<String>,
    pub(crate) documentation: Option<String>,
    pub(crate) tags: Vec<String>,
}

/// What is listed: an entry, and what was said when it was registered.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) entry: Arc<CatalogEntry>,
    pub(crate) provided: Value,
}

/// The name that people gave it.
pub(crate) fn short(entry: &CatalogEntry) -> &str {
    entry.name.strip_prefix(NAMESPACE).unwrap_or(&entry.name)
}

/// MCP servers that can be deployed, those of a category when one is named.
///
/// # Errors
/// What the store says.
pub(crate) async fn list(app: &App, category: Option<String>) -> Outcome<Vec<Listed>> {
    let query = CatalogQuery {
        kind: Some(Kind::Mcp),
        deployable: Some(true),
        category,
        limit: Some(MOST),
        ..CatalogQuery::default()
    };
    let mut listed = Vec::new();
    for entry in catalog::search(app, &query).await?.entries {
        listed.push(with_provided(app, entry).await?);
    }
    Ok(listed)
}

async fn with_provided(app: &App, entry: Arc<CatalogEntry>) -> Outcome<Listed> {
    let provided = if entry.name.starts_with(NAMESPACE) {
        let known = catalog::known_versions(app, &entry.name).await?;
        known.first().map_or(Value::Null, |document| document.server["_meta"][PROVIDED].clone())
    } else {
        Value::Null
    };
    Ok(Listed { entry, provided })
}

/// Registers a template.
///
/// # Errors
/// 403 for who does not look after the installation, 409 for a name that is taken, 422 with field.
pub(crate) async fn register(app: &App, caller: &Caller, template: &Template) -> Outcome<Listed> {
    catalog::require_operator(app, caller).await?;
    check(template)?;
    let name = format!("{NAMESPACE}{}", template.name);
    let index = catalog::index(app).await?;
    if index.by_name(&name).is_some() {
        let message = format!("a template `{}` was registered before", template.name);
        return Err(Problem::refused(ErrorCode::Conflict, message)
            .field("name")
            .hint("change that one, or choose another name"));
    }
    let version = template.version.clone().unwrap_or_else(|| FIRST_VERSION.to_owned());
    put(app, caller, document(caller, template, &version)).await
}

/// Changes a template: what `change` makes of it is its next version.
///
/// # Errors
/// 403, 404, 409 for what was not registered here, 422 with field.
pub(crate) async fn change(
    app: &App,
    caller: &Caller,
    id: &str,
    change: impl FnOnce(&mut Template),
) -> Outcome<Listed> {
    catalog::require_operator(app, caller).await?;
    let (entry, documents) = registered(app, id).await?;
    let latest = documents.first().ok_or_else(|| Problem::not_found("template", id))?;
    let before = of_document(&entry, latest);
    let mut template = before.clone();
    template.version = None;
    change(&mut template);
    if template.name != before.name {
        return Err(Problem::invalid("name", "the name of a template stays")
            .hint("register another one under the other name"));
    }
    check(&template)?;
    if (Template { version: before.version.clone(), ..template.clone() }) == before {
        return with_provided(app, entry).await;
    }
    let version = match template.version.clone() {
        Some(version) => version,
        None => next(&latest.version).ok_or_else(|| {
            Problem::invalid("version", format!("no version follows `{}` by itself", latest.version))
                .hint("give one with `version`")
        })?,
    };
    if documents.iter().any(|document| document.version == version) {
        return Err(Problem::invalid(
            "version",
            format!("the version `{version}` is there, and stays as it is"),
        )
        .hint("give a later one, or leave `version` out"));
    }
    put(app, caller, document(caller, &template, &version)).await
}

/// Withdraws a template: it is neither listed nor deployed any more, and what runs goes on.
///
/// # Errors
/// 403, 404, 409 for what was not registered here.
pub(crate) async fn withdraw(app: &App, caller: &Caller, id: &str) -> Outcome<()> {
    catalog::require_operator(app, caller).await?;
    let (_, documents) = registered(app, id).await?;
    let meta = json!({ OFFICIAL: { "status": "deleted", "statusMessage": "it was deleted" } });
    let all = documents.into_iter().map(|document| json!({ "server": document.server, "_meta": meta }));
    take(app, caller, all.collect()).await
}

/// A template that was registered here, and its versions, the one that people get first.
async fn registered(app: &App, id: &str) -> Outcome<(Arc<CatalogEntry>, Vec<Document>)> {
    let index = catalog::index(app).await?;
    let found = index.entries().find(|entry| entry.id.to_string() == id);
    let entry = found.cloned().ok_or_else(|| Problem::not_found("template", id))?;
    if !entry.name.starts_with(NAMESPACE) {
        let whose = match &entry.listing.source {
            Some(source) => format!("came from the source `{source}`"),
            None => "is part of Berth".to_owned(),
        };
        return Err(Problem::refused(ErrorCode::Conflict, format!("`{}` {whose}", entry.name))
            .hint("only templates that were registered here can be changed and deleted"));
    }
    let documents = catalog::known_versions(app, &entry.name).await?;
    Ok((entry, documents))
}

async fn put(app: &App, caller: &Caller, document: Value) -> Outcome<Listed> {
    let name = document["name"].as_str().unwrap_or_default().to_owned();
    take(app, caller, vec![document]).await?;
    with_provided(app, catalog::show(app, &name).await?).await
}

async fn take(app: &App, caller: &Caller, entries: Vec<Value>) -> Outcome<()> {
    let taken = catalog::add(app, caller, AddEntries { entries }).await?;
    match taken.refused.into_iter().next() {
        Some(refused) => Err(Problem::invalid("name", refused.why)),
        None => Ok(()),
    }
}

fn document(caller: &Caller, template: &Template, version: &str) -> Value {
    let variables: Vec<Value> =
        template.variables.iter().map(|(name, value)| json!({ "name": name, "default": value })).collect();
    let mut server = json!({
        "name": format!("{NAMESPACE}{}", template.name),
        "title": template.title,
        "description": template.description,
        "version": version,
        "packages": [{
            "registryType": "oci", "identifier": template.image, "transport": { "type": "stdio" },
            "environmentVariables": variables,
        }],
        "_meta": { PROVIDED: {
            "category": template.category, "resourceHint": template.hint, "author": template.author,
            "tags": template.tags, "isOfficial": template.is_official, "image": template.image,
            "registeredAt": now().to_string(), "registeredBy": caller.user,
        } },
    });
    if let Some(documentation) = &template.documentation {
        server["websiteUrl"] = documentation.clone().into();
    }
    server
}

fn of_document(entry: &CatalogEntry, document: &Document) -> Template {
    let (server, provided) = (&document.server, &document.server["_meta"][PROVIDED]);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let variables = server["packages"][0]["environmentVariables"].as_array();
    let pair = |one: &Value| Some((text(&one["name"])?, text(&one["default"]).unwrap_or_default()));
    let tags = provided["tags"].as_array();
    Template {
        name: short(entry).to_owned(),
        title: text(&server["title"]).unwrap_or_default(),
        description: text(&server["description"]).unwrap_or_default(),
        image: text(&provided["image"]).unwrap_or_default(),
        category: text(&provided["category"]).unwrap_or_default(),
        hint: text(&provided["resourceHint"]).unwrap_or_default(),
        variables: variables.into_iter().flatten().filter_map(pair).collect(),
        is_official: provided["isOfficial"] == true,
        version: Some(document.version.clone()),
        author: text(&provided["author"]),
        documentation: text(&server["websiteUrl"]),
        tags: tags.into_iter().flatten().filter_map(text).collect(),
    }
}

/// `1.0.1` after `1.0.0`.
fn next(version: &str) -> Option<String> {
    let (before, last) = version.rsplit_once('.')?;
    Some(format!("{before}.{}", last.parse::<u64>().ok()?.checked_add(1)?))
}

fn check(template: &Template) -> Outcome<()> {
    let is_name =
        |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if template.name.is_empty() || 50 < template.name.len() || !is_name(&template.name) {
        return Err(Problem::invalid(
            "name",
            "a template's name has 1 to 50 small letters, digits and hyphens",
        )
        .hint(format!("use `{}`", domain::names::slug(&template.name))));
    }
    for (field, text, most) in
        [("displayName", &template.title, 100), ("description", &template.description, 500)]
    {
        if text.trim().is_empty() || most < text.chars().count() {
            return Err(Problem::invalid(field, format!("`{field}` has 1 to {most} characters")));
        }
    }
    for (field, text, known) in
        [("category", &template.category, &CATEGORIES[..]), ("resourceHint", &template.hint, &HINTS[..])]
    {
        if !known.contains(&text.as_str()) {
            return Err(Problem::invalid(field, format!("`{field}` is one of {}", known.join(", "))));
        }
    }
    match format!("oci:{}", template.image).parse::<Package>() {
        Ok(Package::Oci { .. }) => Ok(()),
        Ok(_) => Err(Problem::invalid("dockerImage", "it is no container image")),
        Err(error) => Err(Problem::invalid("dockerImage", error)),
    }
}

/// What is not wrong and could be better: warnings, and what to add.
pub(crate) fn remarks(template: &Template) -> (Vec<String>, Vec<String>) {
    let mut warnings = Vec::new();
    for name in template.variables.keys() {
        if name.bytes().any(|b| !(b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')) {
            warnings.push(format!("the variable `{name}` is not in capital letters"));
        }
    }
    let last = template.image.rsplit('/').next().unwrap_or_default();
    if !last.contains([':', '@']) {
        warnings.push(format!("`{}` has no tag: `latest` is meant, which changes", template.image));
    }
    let missing = [
        ("a version", template.version.is_none()),
        ("an author", template.author.is_none()),
        ("the address of a documentation", template.documentation.is_none()),
        ("tags", template.tags.is_empty()),
    ];
    let advice =
        missing.iter().filter(|(_, is)| *is).map(|(what, _)| format!("{what} would help to find it"));
    (warnings, advice.collect())
}

/// What was said of it when it was registered, as the older front end reads it; for other entries what the catalog knows.
pub(crate) fn metadata(listed: &Listed) -> Value {
    let (entry, provided) = (&listed.entry, &listed.provided);
    let variables: Map<String, Value> =
        entry.inputs.iter().map(|input| (input.name.clone(), json!(input.default))).collect();
    let author = provided["author"].as_str().or(entry.listing.publisher.as_deref()).unwrap_or("Berth");
    json!({
        "resourceHint": provided["resourceHint"],
        "environmentVariables": variables,
        "version": entry.listing.version.as_deref()
            .or_else(|| entry.package.as_ref().and_then(Package::version)),
        "author": author,
        "documentation": entry.documentation_url,
        "tags": provided.get("tags").cloned().unwrap_or_else(|| json!([])),
        "registeredAt": provided["registeredAt"],
        "registeredBy": provided["registeredBy"],
    })
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn what_follows_a_version() {
        for (version, expected) in
            [("1.0.0", Some("1.0.1")), ("1.9", Some("1.10")), ("latest", None), ("1.x", None), ("1", None)]
        {
            assert_eq!(next(version).as_deref(), expected, "{version}");
        }
    }
}
