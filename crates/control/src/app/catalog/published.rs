//! Berth's own catalog as registries publish theirs: what came from a source, as it came.

use api::errors::ErrorCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::server_json::Document;
use domain::time::Timestamp;
use serde_json::{Value, json};
use store::catalog_versions::{VersionRow, Wanted};

use super::FILE;
use crate::app::{App, Outcome, Problem};

/// The most versions of a page.
const MOST: u32 = 100;
/// How many a page has when nobody says.
const USUAL: u32 = 30;

/// What is asked for.
#[derive(Debug, Default)]
pub(crate) struct PageQuery<'a> {
    /// Where the last page ended.
    pub(crate) cursor: Option<&'a str>,
    /// How many.
    pub(crate) limit: Option<u32>,
    /// A part of the name.
    pub(crate) search: Option<&'a str>,
    /// A time as in RFC 3339.
    pub(crate) updated_since: Option<&'a str>,
    /// `latest`.
    pub(crate) version: Option<&'a str>,
    /// Those that were withdrawn, too.
    pub(crate) include_deleted: bool,
    /// Whether the caller is somebody: what was added from files is not for everybody.
    pub(crate) is_known: bool,
}

/// What is published.
#[derive(Debug)]
pub(crate) struct Published(pub(crate) Value);

/// A page of versions.
///
/// # Errors
/// 400 for a cursor, a limit, a time or a version that is none.
pub(crate) async fn page(app: &App, query: &PageQuery<'_>) -> Outcome<Published> {
    let limit = query.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(bad("limit", &format!("a page has 1 to {MOST} servers")));
    }
    let after = query.cursor.filter(|cursor| !cursor.is_empty()).map(read_cursor).transpose()?;
    let since = query.updated_since.map(|text| {
        text.parse::<Timestamp>()
            .map_err(|_| bad("updated_since", "it is a time such as `2025-08-07T13:15:04Z`"))
    });
    let since = since.transpose()?;
    let only_latest = match query.version {
        None | Some("") => false,
        Some("latest") => true,
        Some(_) => return Err(bad("version", "`latest` is the one word that is known")),
    };
    let wanted = Wanted {
        after: after.as_ref().map(|(name, version)| (name.as_str(), version.as_str())),
        limit: limit + 1,
        search: query.search.unwrap_or_default(),
        updated_since: since,
        only_latest,
        // Who asks what changed wants to know what is gone.
        with_deleted: query.include_deleted || since.is_some(),
        hidden_source: if query.is_known { "" } else { FILE },
    };
    let mut rows = store::catalog_versions::page(&app.store, &wanted).await?;
    let has_more = limit as usize <= rows.len().saturating_sub(1);
    rows.truncate(limit as usize);
    let mut metadata = json!({ "count": rows.len() });
    if let Some(last) = rows.last().filter(|_| has_more) {
        metadata["nextCursor"] = write_cursor(&last.document).into();
    }
    let servers: Vec<Value> = rows.into_iter().map(render).collect();
    Ok(Published(json!({ "servers": servers, "metadata": metadata })))
}

/// The versions of a name, those that were published last first; or one of them, or the one that people get (`latest`).
///
/// # Errors
/// 404.
pub(crate) async fn versions(
    app: &App,
    name: &str,
    version: Option<&str>,
    is_known: bool,
) -> Outcome<Published> {
    let entry = super::index(app).await?.by_name(name).cloned();
    let entry = entry.filter(|entry| is_known || entry.listing.source.as_deref() != Some(FILE));
    let rows = match entry {
        Some(_) => store::catalog_versions::of_name(&app.store, name).await?,
        None => vec![],
    };
    let gone = |what: String| Problem::refused(ErrorCode::NotFound, what);
    if rows.is_empty() {
        return Err(gone(format!("no server `{name}` is published here")));
    }
    let Some(version) = version else {
        let count = rows.len();
        let servers: Vec<Value> = rows.into_iter().map(render).collect();
        return Ok(Published(json!({ "servers": servers, "metadata": { "count": count } })));
    };
    let is_it = |row: &VersionRow| row.document.version == version || (version == "latest" && row.is_latest);
    let found = rows.into_iter().find(is_it);
    let found = found.ok_or_else(|| gone(format!("`{name}` has no version `{version}` here")))?;
    Ok(Published(render(found)))
}

fn render(row: VersionRow) -> Value {
    let Document { server, status, status_message, published_at, updated_at, .. } = row.document;
    let mut official = json!({ "status": status.as_str(), "isLatest": row.is_latest });
    for (key, time) in [("publishedAt", published_at), ("updatedAt", updated_at)] {
        if let Some(time) = time {
            official[key] = time.to_string().into();
        }
    }
    if let Some(message) = status_message {
        official["statusMessage"] = message.into();
    }
    json!({ "server": server, "_meta": { "io.modelcontextprotocol.registry/official": official } })
}

fn write_cursor(document: &Document) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}\n{}", document.name, document.version))
}

fn read_cursor(text: &str) -> Outcome<(String, String)> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (name, version) = text.split_once('\n')?;
        (!text.contains('\0')).then(|| (name.to_owned(), version.to_owned()))
    };
    read().ok_or_else(|| bad("cursor", "it is none of a page of this catalog"))
}

fn bad(field: &str, message: &str) -> Problem {
    Problem::refused(ErrorCode::BadRequest, message).field(field)
}
