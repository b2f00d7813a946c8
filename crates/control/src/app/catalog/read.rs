//! Reading a source: page by page, only what changed since the last whole reading where the source can say so.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use domain::server_json::{Document, split};
use domain::time::Timestamp;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;
use store::catalog_sources::{Ended, SourceRow};

use super::import::take;
use crate::app::{App, Outcome};
use crate::directory::now;

/// Between two readings of one source; registries ask for no more.
const PERIOD: Duration = Duration::from_hours(1);
/// After a reading that failed.
const AGAIN: Duration = Duration::from_mins(10);
/// For how long nobody else reads a source, from page to page.
const CLAIM: Duration = Duration::from_mins(5);
/// The largest page, in bytes, and the most of them.
const MAX_PAGE: usize = 16 << 20;
const MAX_PAGES: usize = 10_000;
/// Entries of one page, and those that are taken in at once.
const PAGE: usize = 100;
/// Where the read API is, newest first.
const PATHS: [&str; 2] = ["/v0.1/servers", "/v0/servers"];

/// Reads every source that is due; gives how many there were.
///
/// # Errors
/// What the store says. What a source says is in its row.
pub(crate) async fn pass(app: &App) -> Outcome<usize> {
    let known = app.catalog.index.load_full().map(|index| index.mark);
    if let Some(known) = known
        && known != store::catalog::mark(&app.store).await?
    {
        // Another control plane of the same database may have changed it.
        app.catalog.is_stale.store(true, Ordering::Release);
    }
    let mut read = 0;
    loop {
        let mut tx = app.store.begin().await?;
        let claimed = store::catalog_sources::claim(&mut tx, now(), after(CLAIM)).await?;
        tx.commit().await?;
        let Some(row) = claimed else { return Ok(read) };
        let result = whole(app, &row).await;
        let error = result.as_ref().err().cloned();
        if let Some(error) = &error {
            tracing::warn!(source = row.name, error, "a source of the catalog could not be read");
        }
        let ended = Ended {
            at: now(),
            due_at: after(if error.is_some() { AGAIN } else { PERIOD }),
            updated_since: result.ok().flatten(),
            error: error.as_deref(),
        };
        let mut tx = app.store.begin().await?;
        store::catalog_sources::end(&mut tx, &row.name, &ended).await?;
        tx.commit().await?;
        read += 1;
    }
}

fn after(time: Duration) -> Timestamp {
    Timestamp(now().0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
}

/// All pages; gives the newest change that there was.
async fn whole(app: &App, row: &SourceRow) -> Result<Option<Timestamp>, String> {
    let (mut cursor, mut newest) = (None::<String>, row.updated_since);
    let (mut seen, mut skipped) = (0, 0);
    let mut paths = PATHS.iter().copied();
    let mut path = if is_document(&row.url) { "" } else { paths.next().unwrap_or_default() };
    for _ in 0..MAX_PAGES {
        let page = page(app, &format!("{}{path}{}", row.url, query(row, path, cursor.as_deref()))).await;
        let page = match page {
            Err(Answer::Status(StatusCode::NOT_FOUND)) if cursor.is_none() && !path.is_empty() => {
                path = paths.next().ok_or("it has no `/v0.1/servers`: it is no registry of MCP servers")?;
                continue;
            }
            Err(answer) => return Err(answer.to_string()),
            Ok(page) => page,
        };
        let next = next_cursor(&page);
        let documents = split(&page).map_err(|error| error.to_string())?;
        for part in documents.chunks(PAGE) {
            for document in part {
                let updated = Document::read(document.clone()).ok().and_then(|document| document.updated_at);
                newest = newest.max(updated);
            }
            let taken = take(app, &row.name, part.to_vec()).await.map_err(|problem| problem.to_string())?;
            seen += part.len() as u64;
            skipped += taken.refused.len() as u64;
            let noted = async {
                let mut tx = app.store.begin().await?;
                store::catalog_sources::progress(&mut tx, &row.name, (seen, skipped), after(CLAIM)).await?;
                tx.commit().await
            };
            noted.await.map_err(|error: store::StoreError| error.to_string())?;
            for refused in &taken.refused {
                tracing::debug!(
                    source = row.name,
                    name = refused.name,
                    why = refused.why,
                    "an entry was not taken"
                );
            }
        }
        match next {
            None => return Ok(newest),
            Some(next) if cursor.as_ref() == Some(&next) => {
                return Err("it gives the same page again and again".to_owned());
            }
            Some(next) => cursor = Some(next),
        }
    }
    Err(format!("it has more than {MAX_PAGES} pages"))
}

fn is_document(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.get(path.len().saturating_sub(5)..).is_some_and(|end| end.eq_ignore_ascii_case(".json"))
}

fn query(row: &SourceRow, path: &str, cursor: Option<&str>) -> String {
    if path.is_empty() {
        return String::new();
    }
    let mut pairs = vec![("limit", PAGE.to_string()), ("version", "latest".to_owned())];
    pairs.extend(row.updated_since.map(|since| ("updated_since", since.to_string())));
    pairs.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
    let pairs = serde_urlencoded::to_string(pairs).unwrap_or_default();
    format!("?{pairs}")
}

fn next_cursor(page: &[u8]) -> Option<String> {
    let page: Value = serde_json::from_slice(page).ok()?;
    let metadata = page.get("metadata")?;
    let cursor = metadata.get("nextCursor").or_else(|| metadata.get("next_cursor"))?.as_str()?;
    Some(cursor.to_owned()).filter(|cursor| !cursor.is_empty())
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
enum Answer {
    #[error("it answered {}", .0.as_u16())]
    Status(StatusCode),
    #[error("{0}")]
    None(String),
}

async fn page(app: &App, url: &str) -> Result<Bytes, Answer> {
    let fetcher = app.catalog.fetcher().await.map_err(|problem| Answer::None(problem.to_string()))?;
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let answer = fetcher.send(Method::GET, url, headers, Bytes::new(), MAX_PAGE).await;
    let answer = answer.map_err(|error| Answer::None(error.to_string()))?;
    if answer.status == StatusCode::OK { Ok(answer.body) } else { Err(Answer::Status(answer.status)) }
}
