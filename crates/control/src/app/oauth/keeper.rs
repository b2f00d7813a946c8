//! What is done now and then: keys are replaced, and what is over is forgotten.

use std::time::Duration;

use domain::time::Timestamp;
use store::Store;

use crate::app::App;
use crate::app::environments::before;
use crate::app::problem::{Chain, Problem};
use crate::auth::access::{self, LIFE};
use crate::directory::now;
use crate::secrets::MasterKey;
use crate::setup::StartError;

/// Between two looks.
const HOUR: Duration = Duration::from_hours(1);
/// How long a key signs.
const KEY_LIFE: Duration = Duration::from_hours(30 * 24);
/// For how long what nobody used is kept.
const UNUSED: Duration = Duration::from_hours(24);

/// Makes the first key where there is none.
///
/// # Errors
/// [`StartError`].
pub(crate) async fn first_key(store: &Store, keys: &MasterKey) -> Result<(), StartError> {
    let failed = |error: access::KeyError| StartError::FirstRows(Problem::Failed(Box::new(error)));
    if !store::oauth::keys::list(store).await.map_err(StartError::Store)?.is_empty() {
        return Ok(());
    }
    let row = access::generate(keys, now()).map_err(failed)?;
    let mut tx = store.begin().await.map_err(StartError::Store)?;
    store::oauth::keys::insert(&mut tx, &row).await.map_err(StartError::Store)?;
    tx.commit().await.map_err(StartError::Store)
}

/// Does it once an hour, until the process stops.
pub(crate) async fn keep(app: &App) {
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = tokio::time::sleep(HOUR) => {}
        }
        if let Err(problem) = pass(app, now()).await {
            tracing::warn!(error = %Chain(&problem), "the authorization server's house could not be kept; tried again in an hour");
        }
    }
}

/// One look at `at`.
async fn pass(app: &App, at: Timestamp) -> Result<(), Problem> {
    let keys = store::oauth::keys::list(&app.store).await?;
    let mut tx = app.store.begin().await?;
    if keys.first().is_none_or(|newest| newest.created_at < before(at, KEY_LIFE)) {
        let row = access::generate(&app.keys, at).map_err(|error| Problem::Failed(Box::new(error)))?;
        store::oauth::keys::insert(&mut tx, &row).await?;
    }
    // A key whose successor signs since before the last of its tokens ended.
    let over = Timestamp(at.0.saturating_sub(2 * LIFE * 1_000_000));
    if let Some(successor) = keys.iter().find(|key| key.created_at < over) {
        store::oauth::keys::forget(&mut tx, successor.created_at).await?;
    }
    store::oauth::reap(&mut tx, at, before(at, UNUSED)).await?;
    tx.commit().await?;
    app.directory.refresh().await?;
    Ok(())
}
