//! `/a/{account}/environments/droplet`: a droplet that Berth makes becomes an environment.

use std::sync::Arc;

use api::droplets::{DropletOptions, SizeOption};
use api::environments::{AddEnvironmentRequest, EnvironmentKind};
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use crate::app::{App, Outcome, droplets, environments};
use crate::auth::Caller;
use crate::web::environments::add::{label, labels};
use crate::web::environments::enrol::alone;
use crate::web::environments::fields::Fields;
use crate::web::environments::{dollars, require_admin};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, status_of};
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
    wrong: Option<Notice>,
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
    /// How many droplets the DigitalOcean account has, and may have.
    limit: Option<(u64, u64)>,
}

struct Size {
    slug: String,
    description: String,
    words: String,
    /// US dollars for a month and for an hour.
    price: Option<(String, String)>,
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
    require_admin(&member)?;
    answer(&app, &member, &Fields::default(), wanted.region, None).await
}

async fn answer(
    app: &App,
    member: &Member,
    form: &Fields,
    region: Option<String>,
    wrong: Option<Notice>,
) -> Result<Response, Turned> {
    let has_no_token = app.provider.is_none();
    let (offer, failed) = if has_no_token {
        (None, None)
    } else {
        match Box::pin(droplets::recent_options(app, &member.caller)).await {
            Ok(options) => (Some(offer(options, form, region)), None),
            // What was typed is kept, whoever does not answer.
            Err(_) if wrong.is_some() => (Some(typed(form)), None),
            Err(problem) => (None, Some(Notice::wrong(problem)?)),
        }
    };
    let wrong = wrong.or(failed);
    let status = status_of(wrong.as_ref());
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
        limit: Some((options.droplets, options.droplet_limit)),
        region,
    }
}

/// What was chosen, when nobody says what there is.
fn typed(form: &Fields) -> Offer {
    let chosen = |name: &str| -> Vec<(String, String, bool)> {
        form.all(name).into_iter().map(|word| (word.clone(), word, true)).collect()
    };
    let size = |slug: String| Size {
        slug,
        description: String::new(),
        words: String::new(),
        price: None,
        chosen: true,
    };
    Offer {
        name: form.one("name").to_owned(),
        labels: form.one("labels").to_owned(),
        regions: chosen("region"),
        region: form.one("region").to_owned(),
        sizes: form.all("size").into_iter().map(size).collect(),
        images: chosen("image"),
        keys: chosen("ssh_keys"),
        allow_ssh: form.is_ticked("allow_ssh"),
        limit: None,
    }
}

fn size(option: SizeOption, wanted: &str) -> Size {
    let vcpus = if option.vcpus == 1 { "vCPU" } else { "vCPUs" };
    Size {
        chosen: option.slug == wanted,
        words: format!(
            "{} memory, {} {vcpus}, {} GiB disk",
            bytes(option.memory_mib.saturating_mul(MIB)),
            option.vcpus,
            option.disk_gib
        ),
        price: Some((dollars(option.price_monthly), format!("${:.4}", option.price_hourly))),
        description: option.description,
        slug: option.slug,
    }
}

async fn order(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Fields>,
) -> Result<Response, Turned> {
    require_admin(&member)?;
    match try_to_order(&app, &member.caller, &form).await {
        Ok(name) => Ok(see(&format!("/a/{}/environments/{name}", member.caller.account_name))),
        Err(problem) => {
            answer(&app, &member, &form, form.given("region"), Some(Notice::wrong(problem)?)).await
        }
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
