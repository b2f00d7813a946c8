//! `/a/{account}/environments/droplet`: a droplet that Berth makes becomes an environment.

use std::sync::Arc;

use api::droplets::{DropletOptions, SizeOption};
use api::environments::{AddEnvironmentRequest, EnvironmentKind};
use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use crate::app::{App, Outcome, droplets, environments};
use crate::auth::Caller;
use crate::web::environments::add::{label, labels};
use crate::web::environments::enrol::alone;
use crate::web::environments::wrong::{Fields, Wrong};
use crate::web::environments::{dollars, require_admin};
use crate::web::member::{Member, PostedBy};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::words::bytes;
use crate::web::{see, shell_page_with};

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/environments/droplet", get(ask).post(order))
}

#[derive(Template)]
#[template(path = "environment-droplet.html")]
struct Page {
    shell: Shell,
    /// What there is; absent when nobody can say.
    offer: Option<Offer>,
    /// There is no token of DigitalOcean's.
    has_no_token: bool,
    alone: Option<String>,
    wrong: Option<Wrong>,
}

/// What can be chosen, and what is.
struct Offer {
    name: String,
    labels: String,
    /// Word, name, whether it is chosen.
    regions: Vec<(String, String, bool)>,
    /// The region that is chosen.
    region: String,
    sizes: Vec<Size>,
    images: Vec<(String, String, bool)>,
    /// Number, name, whether it is chosen.
    keys: Vec<(String, String, bool)>,
    allow_ssh: bool,
    droplets: u64,
    limit: u64,
}

struct Size {
    slug: String,
    description: String,
    memory: String,
    vcpus: u32,
    disk: String,
    monthly: String,
    hourly: String,
    chosen: bool,
}

#[derive(Deserialize)]
struct Wanted {
    region: Option<String>,
}

async fn ask(
    State(app): State<Arc<App>>,
    member: Member,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Turned> {
    answer(&app, &member, &Fields::default(), wanted.region, None).await
}

async fn answer(
    app: &App,
    member: &Member,
    form: &Fields,
    region: Option<String>,
    wrong: Option<Wrong>,
) -> Result<Response, Turned> {
    require_admin(member)?;
    let has_no_token = app.provider.is_none();
    let (offer, failed) = if has_no_token {
        (None, None)
    } else {
        match Box::pin(droplets::options(app, &member.caller)).await {
            Ok(options) => (Some(offer(options, form, region)), None),
            Err(problem) => (None, Some(Wrong::of(problem)?)),
        }
    };
    let wrong = wrong.or(failed);
    let status = wrong.as_ref().map_or(StatusCode::OK, |wrong| wrong.status);
    let shell = Shell::new(app, member, Section::Environments);
    Ok(shell_page_with(&Page { shell, offer, has_no_token, alone: alone(app), wrong }, status))
}

fn offer(options: DropletOptions, form: &Fields, region: Option<String>) -> Offer {
    let region = region
        .filter(|wanted| options.regions.iter().any(|region| region.slug == *wanted))
        .or_else(|| options.regions.first().map(|region| region.slug.clone()))
        .unwrap_or_default();
    let here = options.sizes.into_iter().filter(|size| size.regions.contains(&region));
    let wanted = form.one("size");
    let mut sizes: Vec<Size> = here.map(|option| size(option, wanted)).collect();
    if !sizes.iter().any(|size| size.chosen)
        && let Some(first) = sizes.first_mut()
    {
        first.chosen = true;
    }
    let image = form.given("image").unwrap_or(options.default_image);
    let keys = form.all("ssh_keys");
    Offer {
        name: form.one("name").to_owned(),
        labels: form.one("labels").to_owned(),
        regions: options
            .regions
            .into_iter()
            .map(|of| {
                let is_chosen = of.slug == region;
                (of.slug, of.name, is_chosen)
            })
            .collect(),
        sizes,
        images: options
            .images
            .into_iter()
            .map(|of| {
                let is_chosen = of.slug == image;
                (of.slug, of.name, is_chosen)
            })
            .collect(),
        keys: options
            .ssh_keys
            .into_iter()
            .map(|key| {
                let id = key.id.to_string();
                let is_chosen = keys.contains(&id);
                (id, key.name, is_chosen)
            })
            .collect(),
        allow_ssh: form.is_ticked("allow_ssh"),
        droplets: options.droplets,
        limit: options.droplet_limit,
        region,
    }
}

fn size(option: SizeOption, wanted: &str) -> Size {
    Size {
        chosen: option.slug == wanted,
        memory: bytes(option.memory_mib.saturating_mul(MIB)),
        vcpus: option.vcpus,
        disk: format!("{} GiB", option.disk_gib),
        monthly: dollars(option.price_monthly),
        hourly: format!("${:.4}", option.price_hourly),
        description: option.description,
        slug: option.slug,
    }
}

async fn order(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Fields>,
) -> Result<Response, Turned> {
    match try_to_order(&app, &member.caller, &form).await {
        Ok(name) => Ok(see(&format!("/a/{}/environments/{name}", member.caller.account_name))),
        Err(problem) => answer(&app, &member, &form, form.given("region"), Some(Wrong::of(problem)?)).await,
    }
}

/// Its name.
async fn try_to_order(app: &App, caller: &Caller, form: &Fields) -> Outcome<String> {
    let labels = labels(form.one("labels"))?;
    let request = AddEnvironmentRequest {
        region: form.given("region"),
        size: form.given("size"),
        image: form.given("image"),
        ssh_keys: form.all("ssh_keys"),
        allow_ssh: form.is_ticked("allow_ssh"),
        ..AddEnvironmentRequest::new(form.one("name"), EnvironmentKind::DigitalOcean)
    };
    let added = Box::pin(environments::add(app, caller, &request)).await?;
    label(app, caller, added.name.as_str(), &labels).await?;
    Ok(added.name.to_string())
}
