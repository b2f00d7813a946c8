//! Droplets that carry Berth's tags and are no environment's. They are shown, and destroyed only when somebody says so: they may be
//! another control plane's that has the same DigitalOcean account.

use std::collections::HashSet;

use api::droplets::Stray;
use api::users::Role;
use digitalocean::Droplet;
use serde_json::json;

use super::provider;
use crate::app::audit::{self, Act};
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;
use crate::directory::now;
use crate::provider::{self as words, common_tag, environment_of};

/// All of them, the oldest first. The token is the installation's, so only admins look.
///
/// # Errors
/// 403, 503 without a token or an answer.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Stray>> {
    caller.require(Role::Admin)?;
    Ok(find(app).await?.into_iter().map(render).collect())
}

/// Destroys one with all that is on it.
///
/// # Errors
/// 403, 404 for what is no stray, 503 without a token or an answer.
pub(crate) async fn destroy(app: &App, caller: &Caller, id: u64) -> Outcome<()> {
    caller.require(Role::Admin)?;
    let strays = find(app).await?;
    let stray = strays.into_iter().find(|stray| stray.id == id).ok_or_else(|| {
        Problem::not_found("stray droplet", &id.to_string())
            .hint("`berth env strays` shows those there are; the droplet of an environment goes with `berth env remove`")
    })?;
    // First the line, then what cannot be taken back.
    let act = Act {
        action: "droplet.destroy",
        kind: "droplet",
        id: id.to_string(),
        name: &stray.name,
        detail: json!({ "tags": stray.tags }),
    };
    let mut tx = app.store.begin().await?;
    audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
    tx.commit().await?;
    match Box::pin(provider(app)?.quick.delete_droplet(id)).await {
        Ok(()) | Err(digitalocean::Error::NotFound(_)) => Ok(()),
        Err(error) => Err(words::problem(&error)),
    }
}

async fn find(app: &App) -> Outcome<Vec<Droplet>> {
    let tag = common_tag().map_err(|error| Problem::Failed(Box::new(error)))?;
    let found = Box::pin(provider(app)?.quick.droplets_by_tag(&tag)).await;
    let mut found = found.map_err(|error| words::problem(&error))?;
    // Looked up afterwards: a row is written before its droplet is ordered, so what has none by now is nobody's.
    let known: HashSet<_> =
        store::droplets::list_all(&app.store).await?.into_iter().map(|row| row.environment).collect();
    found.retain(|droplet| {
        let of = droplet.tags.iter().find_map(|tag| environment_of(tag));
        of.is_some_and(|environment| !known.contains(&environment))
    });
    found.sort_by_key(|droplet| droplet.id);
    Ok(found)
}

fn render(droplet: Droplet) -> Stray {
    Stray {
        id: droplet.id,
        region: droplet.region().to_owned(),
        status: droplet.status.as_str().to_owned(),
        address: droplet.public_v4().map(ToOwned::to_owned),
        name: droplet.name,
        size: droplet.size_slug,
        created_at: droplet.created_at,
    }
}
