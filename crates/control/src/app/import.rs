//! The import of an older platform's database: read there, planned here without I/O, and written through the store when that is asked
//! for, one transaction for each account.
//!
//! Rows keep their ids, and what no row of the older platform has an id for gets one that follows from its own. So what is there already
//! is known again: a second import changes nothing, and one that broke off is finished by the next.

mod agents;
mod apply;
mod docker;
mod entries;
mod environments;
mod instances;
mod known;
mod names;
mod people;
mod plan;
mod remotes;
mod report;
mod words;

use domain::names::AccountName;
use domain::secret::Secret;

use crate::app::Problem;
use crate::auth::issuers::Issuer;
use crate::config::Config;
use crate::directory::now;
use crate::setup::{StartError, open};

pub use report::{ImportReport, ReportLine, Verdict};

#[cfg(test)]
mod tests;

/// How an older database is taken over.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The account that takes all; absent: each older user gets one of their own.
    pub account: Option<AccountName>,
    /// The Supabase project whose users these are, by its URL: so that its tokens open what was imported.
    pub supabase: Option<String>,
    /// Whether hosts are dialled in clear, as the older platform did.
    pub insecure_http: bool,
    /// Whether anything is written.
    pub apply: bool,
}

/// Reads an older database, and says what becomes of each row; with [`ImportOptions::apply`] it does so too. May run beside a running
/// control plane. Whoever can open the database of Berth may do so.
///
/// # Errors
/// [`StartError::Store`] when either database cannot be opened or read, or a row cannot be written; [`StartError::Import`] when an option
/// cannot be. Accounts that were finished before stay.
pub async fn import_legacy(
    config: &Config,
    url: &Secret,
    options: &ImportOptions,
) -> Result<ImportReport, StartError> {
    import(config, url, options, None).await
}

/// The same, which breaks off before it writes more than so many rows.
async fn import(
    config: &Config,
    url: &Secret,
    options: &ImportOptions,
    most_writes: Option<u32>,
) -> Result<ImportReport, StartError> {
    let issuer = options.supabase.as_deref().map(issuer_of).transpose().map_err(StartError::Import)?;
    let older = store::older::read(url.expose()).await.map_err(StartError::Store)?;
    let (store, keys) = open(config).await?;
    let done = async {
        let known = known::read(&store, &keys, &older, issuer.as_deref()).await?;
        let scope = plan::Scope {
            account: options.account.as_ref(),
            issuer: issuer.as_deref(),
            insecure_http: options.insecure_http,
            now: now(),
        };
        let plan = plan::plan(&older, &known, &scope)?;
        if options.apply {
            apply::apply(&store, &keys, &plan, most_writes).await?;
        }
        Ok::<_, Problem>(ImportReport::new(&older, plan.lines, options.apply))
    };
    let done = done.await.map_err(StartError::Import);
    store.close().await;
    done
}

/// Who issues a Supabase project's tokens.
fn issuer_of(url: &str) -> Result<String, Problem> {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.starts_with('/') || url.contains(char::is_whitespace) {
        return Err(Problem::invalid("supabase-url", "it is the URL of a Supabase project")
            .hint("write it as `https://PROJECT.supabase.co`"));
    }
    Ok(Issuer::supabase(url, None).issuer)
}
