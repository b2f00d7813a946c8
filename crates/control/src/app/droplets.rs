//! Droplets as environments: what they can be, ordering one, and giving it up. A request only looks and writes rows; the
//! reconciler in [`crate::tasks::droplets`] makes and destroys.

mod choice;
pub(crate) mod cloud_init;
pub(crate) mod strays;
mod words;

use std::time::{Duration, Instant};

use api::droplets::{DropletOptions, ImageOption, KeyOption, RegionOption, SizeOption};
use api::environments::{AddEnvironmentRequest, Environment};
use api::errors::ErrorCode;
use api::users::Role;
use digitalocean::{Client, Error};
use domain::ids::EnvironmentId;
use domain::names::EnvironmentName;
use domain::provisioning::{Firewall, Wish};
use domain::status::EnvironmentStatus;
use domain::time::Timestamp;
use serde_json::json;
use store::droplets::{DropletRow, Order};
use store::environments::{Droplet, EnvironmentRow};

use crate::app::audit::{self, Act};
use crate::app::environments::{insert, name_taken, occupied, rendered, tell};
use crate::app::{App, Outcome, Problem};
use crate::auth::{Caller, token};
use crate::directory::now;
use crate::provider::{self, Provider};
use crate::reach::Way;

pub(crate) use words::{failure, message_of, render};

/// What a droplet starts from when nothing is said. Its kernel lets the sandbox make what it needs.
const DEFAULT_IMAGE: &str = "debian-13-x64";
/// For so long what there is counts as known to whoever only looks.
const RECENT: Duration = Duration::from_mins(1);

/// What a droplet can be, as DigitalOcean has it now. The token is the installation's, so only admins look.
///
/// # Errors
/// 403, 503 without a token or an answer.
pub(crate) async fn options(app: &App, caller: &Caller) -> Outcome<DropletOptions> {
    caller.require(Role::Admin)?;
    Box::pin(offer(&provider(app)?.quick)).await
}

/// The same as it was up to a minute ago. Somebody who fills a form in looks often, and DigitalOcean lists keys only a few times a minute.
///
/// # Errors
/// As those of [`options`].
pub(crate) async fn recent_options(app: &App, caller: &Caller) -> Outcome<DropletOptions> {
    caller.require(Role::Admin)?;
    let provider = provider(app)?;
    let mut kept = provider.offered.lock().await;
    if let Some((at, offered)) = &*kept
        && at.elapsed() < RECENT
    {
        return Ok(offered.clone());
    }
    let offered = Box::pin(offer(&provider.quick)).await?;
    *kept = Some((Instant::now(), offered.clone()));
    Ok(offered)
}

async fn offer(client: &Client) -> Outcome<DropletOptions> {
    let (account, regions, mut sizes, images, keys, droplets) = tokio::try_join!(
        client.account(),
        client.regions(),
        client.sizes(),
        client.distribution_images(),
        keys(client),
        client.droplets(),
    )
    .map_err(|error| provider::problem(&error))?;
    sizes.retain(|size| size.available && !size.regions.is_empty());
    sizes.sort_by(|a, b| a.price_monthly.total_cmp(&b.price_monthly).then_with(|| a.slug.cmp(&b.slug)));
    Ok(DropletOptions {
        regions: regions
            .into_iter()
            .filter(|region| region.available)
            .map(|region| RegionOption { slug: region.slug, name: region.name })
            .collect(),
        sizes: sizes
            .into_iter()
            .map(|size| SizeOption {
                slug: size.slug,
                description: size.description,
                memory_mib: size.memory,
                vcpus: size.vcpus,
                disk_gib: size.disk,
                price_monthly: size.price_monthly,
                price_hourly: size.price_hourly,
                regions: size.regions,
            })
            .collect(),
        images: images
            .into_iter()
            .filter_map(|image| {
                Some(ImageOption {
                    slug: image.slug?,
                    name: format!("{} {}", image.distribution, image.name),
                })
            })
            .collect(),
        default_image: DEFAULT_IMAGE.to_owned(),
        ssh_keys: keys
            .into_iter()
            .map(|key| KeyOption { id: key.id, name: key.name, fingerprint: key.fingerprint })
            .collect(),
        droplets: droplets.len() as u64,
        droplet_limit: account.droplet_limit,
    })
}

/// A token that may not see the keys can make droplets all the same.
async fn keys(client: &Client) -> Result<Vec<digitalocean::SshKey>, Error> {
    match client.ssh_keys().await {
        Err(Error::MissingScope { .. }) => Ok(Vec::new()),
        keys => keys,
    }
}

/// Orders a droplet: everything that can be wrong with it is looked up first, then the row is written, and the reconciler does
/// the rest.
///
/// # Errors
/// 409, 422 with field and hint, 503.
pub(crate) async fn add(
    app: &App,
    caller: &Caller,
    name: EnvironmentName,
    request: &AddEnvironmentRequest,
) -> Outcome<Environment> {
    if store::environments::by_name(&app.store, caller.account, &name).await?.is_some() {
        return Err(name_taken(&name));
    }
    let client = &provider(app)?.quick;
    choice::check_fields(request)?;
    let market = Box::pin(market(client, request)).await?;
    let chosen = choice::choose(&market, request)?;
    let (id, at) = (EnvironmentId::generate(), now());
    let token = token::generate()?;
    let reach = serde_json::to_value(Way::Tunnel).map_err(|error| Problem::Failed(Box::new(error)))?;
    let order =
        Order { name: format!("berth-{name}"), ssh_keys: chosen.ssh_keys, allow_ssh: request.allow_ssh };
    let row = EnvironmentRow {
        user: Some(caller.user),
        description: request.description.clone(),
        droplet: Droplet {
            id: None,
            name: Some(order.name.clone()),
            region_slug: Some(chosen.region),
            size_slug: Some(chosen.size),
            image_slug: Some(chosen.image),
        },
        dtma_token_sealed: Some(app.keys.seal(id.0, token.expose())?),
        ..EnvironmentRow::new(id, caller.account, name, EnvironmentStatus::Creating, reach, at)
    };
    let droplet = DropletRow {
        environment: id,
        wish: Wish::Present,
        since: at,
        fault: None,
        sent_at: None,
        firewall: Firewall::None,
        order,
        user_data_sealed: None,
        price_cents: chosen.price_cents,
        failures: 0,
        next_try_at: Timestamp(0),
        trouble: None,
        provider_status: None,
    };
    let act = Act {
        action: "environment.add",
        kind: "environment",
        id: id.to_string(),
        name: row.name.as_str(),
        detail: json!({
            "kind": "digitalocean", "region": row.droplet.region_slug, "size": row.droplet.size_slug,
            "image": row.droplet.image_slug, "allow_ssh": request.allow_ssh,
        }),
    };
    let mut tx = app.store.begin().await?;
    insert(&mut tx, &row, &token).await?;
    store::droplets::insert(&mut tx, &droplet).await?;
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.directory.refresh().await?;
    app.droplets.notify_one();
    tell(app, row.clone()).await?;
    rendered(app, row).await
}

/// What the provider has of what is asked for.
async fn market(client: &Client, request: &AddEnvironmentRequest) -> Outcome<choice::Market> {
    let wanted = request.image.as_deref().unwrap_or(DEFAULT_IMAGE);
    let image = async {
        match client.image(wanted).await {
            Err(Error::NotFound(_)) => Ok(None),
            image => image.map(Some),
        }
    };
    let keys = async { if request.ssh_keys.is_empty() { Ok(Vec::new()) } else { client.ssh_keys().await } };
    let (account, regions, sizes, images, image, keys, droplets) = tokio::try_join!(
        client.account(),
        client.regions(),
        client.sizes(),
        client.distribution_images(),
        image,
        keys,
        client.droplets(),
    )
    .map_err(|error| provider::problem(&error))?;
    let droplets = droplets.len() as u64;
    Ok(choice::Market { account, regions, sizes, images, wanted: wanted.to_owned(), image, keys, droplets })
}

/// 422 for what only a droplet can be told.
pub(crate) fn refuse_of_hosts(request: &AddEnvironmentRequest) -> Outcome<()> {
    let field = [
        ("region", request.region.is_some()),
        ("size", request.size.is_some()),
        ("image", request.image.is_some()),
        ("ssh_keys", !request.ssh_keys.is_empty()),
        ("allow_ssh", request.allow_ssh),
    ]
    .into_iter()
    .find(|(_, given)| *given);
    match field {
        Some((field, _)) => {
            Err(Problem::invalid(field, "this is said of droplets, not of hosts that are there")
                .hint("leave it out, or make the kind `digitalocean`"))
        }
        None => Ok(()),
    }
}

/// Gives a droplet up, however far it is: the reconciler destroys it, and the environment goes when the provider has none.
///
/// # Errors
/// 409 with the instances that nobody has asked to remove.
pub(crate) async fn remove(app: &App, caller: &Caller, environment: &EnvironmentRow) -> Outcome<()> {
    let at = now();
    let mut tx = app.store.begin().await?;
    let left = store::environments::occupants(&mut tx, environment.id).await?;
    if !left.is_empty() {
        return Err(occupied(environment, &left));
    }
    if store::droplets::want_absent(&mut tx, environment.id, at).await? {
        let act = Act {
            action: "environment.remove",
            kind: "environment",
            id: environment.id.to_string(),
            name: environment.name.as_str(),
            detail: json!({ "droplet": environment.droplet.id }),
        };
        audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    }
    tx.commit().await?;
    app.directory.refresh().await?;
    app.droplets.notify_one();
    if let Some(row) = store::environments::by_id(&app.store, environment.id).await? {
        tell(app, row).await?;
    }
    Ok(())
}

fn provider(app: &App) -> Outcome<&Provider> {
    app.provider.as_ref().ok_or_else(|| {
        Problem::refused(ErrorCode::Unavailable, "this control plane has no DigitalOcean token").field("kind").hint(
            "make one at https://cloud.digitalocean.com/account/api/tokens and start `berth up` or `berth server` with it in \
             DIGITALOCEAN_TOKEN",
        )
    })
}
