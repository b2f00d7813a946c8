//! Whether a droplet can be what is asked for, from what the provider has. Nothing is asked here.

use api::environments::AddEnvironmentRequest;
use api::errors::ErrorCode;
use digitalocean::{Account, AccountStatus, Image, Region, Size, SshKey};

use crate::app::deployment::nearest;
use crate::app::{Outcome, Problem};

const OPTIONS: &str = "`berth env options digitalocean` lists what there is";

/// What the provider has.
#[derive(Debug)]
pub(super) struct Market {
    pub(super) account: Account,
    pub(super) regions: Vec<Region>,
    pub(super) sizes: Vec<Size>,
    pub(super) images: Vec<Image>,
    /// The image that is asked for.
    pub(super) wanted: String,
    /// What the provider has under that word; `None`: nothing.
    pub(super) image: Option<Image>,
    /// The account's keys; only looked up when some are asked for.
    pub(super) keys: Vec<SshKey>,
    /// How many droplets the account has.
    pub(super) droplets: u64,
}

/// What can be ordered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) region: String,
    pub(super) size: String,
    pub(super) image: String,
    pub(super) ssh_keys: Vec<String>,
    pub(super) price_cents: u64,
}

/// What is wrong whatever the provider has.
pub(super) fn check_fields(request: &AddEnvironmentRequest) -> Outcome<()> {
    if request.address.is_some() || request.insecure_http {
        let field = if request.address.is_some() { "address" } else { "insecure_http" };
        return Err(Problem::invalid(field, "a droplet is reached through the tunnel that it opens")
            .hint("leave it out"));
    }
    for (field, value, example) in
        [("region", &request.region, "fra1"), ("size", &request.size, "s-1vcpu-1gb")]
    {
        if value.as_ref().is_none_or(|value| value.trim().is_empty()) {
            return Err(Problem::invalid(field, format!("a droplet needs a {field}, such as `{example}`"))
                .hint(OPTIONS));
        }
    }
    if request.allow_ssh && request.ssh_keys.is_empty() {
        return Err(Problem::invalid(
            "allow_ssh",
            "without a key nobody could use SSH but who guesses a password",
        )
        .hint("name a key of the DigitalOcean account in `ssh_keys`"));
    }
    Ok(())
}

/// The order, or what is wrong with it, what is said first being what is wrong with the account.
pub(super) fn choose(market: &Market, request: &AddEnvironmentRequest) -> Outcome<Chosen> {
    check_account(market)?;
    let (region, size) = (pick_region(market, request)?, pick_size(market, request)?);
    if !size.regions.contains(&region.slug) {
        let message = format!("there is no `{}` in {} now", size.slug, region.slug);
        let mut fitting: Vec<&str> = market
            .sizes
            .iter()
            .filter(|other| other.available && other.regions.contains(&region.slug))
            .map(|other| other.slug.as_str())
            .collect();
        fitting.truncate(5);
        let hint = format!("it is in {}; {} has {}", listed(&size.regions), region.slug, listed(&fitting));
        return Err(Problem::invalid("size", message).hint(hint));
    }
    let image = check_image(market, region, size)?;
    Ok(Chosen {
        region: region.slug.clone(),
        size: size.slug.clone(),
        image,
        ssh_keys: pick_keys(market, request)?,
        price_cents: size.price_cents(),
    })
}

fn check_account(market: &Market) -> Outcome<()> {
    let account = &market.account;
    let settle = "settle it at https://cloud.digitalocean.com";
    if account.status == AccountStatus::Locked {
        let why =
            if account.status_message.is_empty() { "it does not say why" } else { &account.status_message };
        return Err(Problem::refused(
            ErrorCode::Conflict,
            format!("the DigitalOcean account is locked: {why}"),
        )
        .hint(settle));
    }
    if account.droplet_limit <= market.droplets {
        let message = format!(
            "the DigitalOcean account has {} droplets and may have {}",
            market.droplets, account.droplet_limit
        );
        return Err(Problem::refused(ErrorCode::Conflict, message).hint(
            "destroy one that is not needed, or have the limit raised at \
             https://cloud.digitalocean.com/account/team/droplet_limit_increase",
        ));
    }
    Ok(())
}

fn pick_region<'a>(market: &'a Market, request: &AddEnvironmentRequest) -> Outcome<&'a Region> {
    let wanted = request.region.as_deref().unwrap_or_default().trim();
    let Some(region) = market.regions.iter().find(|region| region.slug == wanted) else {
        let message = format!("DigitalOcean has no region `{wanted}`");
        let open = market.regions.iter().filter(|region| region.available);
        return Err(unknown("region", message, wanted, open.map(|region| region.slug.as_str())));
    };
    if !region.available {
        let open: Vec<&str> = market
            .regions
            .iter()
            .filter(|region| region.available)
            .map(|region| region.slug.as_str())
            .collect();
        return Err(Problem::invalid("region", format!("{wanted} takes no new droplets now"))
            .hint(format!("these do: {}", listed(&open))));
    }
    Ok(region)
}

fn pick_size<'a>(market: &'a Market, request: &AddEnvironmentRequest) -> Outcome<&'a Size> {
    let wanted = request.size.as_deref().unwrap_or_default().trim();
    let found = market.sizes.iter().find(|size| size.slug == wanted && size.available);
    found.ok_or_else(|| {
        let there = market.sizes.iter().filter(|size| size.available).map(|size| size.slug.as_str());
        unknown("size", format!("DigitalOcean has no size `{wanted}` now"), wanted, there)
    })
}

fn check_image(market: &Market, region: &Region, size: &Size) -> Outcome<String> {
    let wanted = &market.wanted;
    let Some(image) = &market.image else {
        let there = market.images.iter().filter_map(|image| image.slug.as_deref());
        return Err(unknown("image", format!("DigitalOcean has no image `{wanted}`"), wanted, there));
    };
    if !image.regions.is_empty() && !image.regions.contains(&region.slug) {
        return Err(Problem::invalid("image", format!("the image `{wanted}` is not in {}", region.slug))
            .hint(format!("it is in {}", listed(&image.regions))));
    }
    if let Some(least) = image.min_disk_size.filter(|&least| size.disk < least) {
        let message =
            format!("the image `{wanted}` needs a disk of {least} GiB, and {} has {}", size.slug, size.disk);
        return Err(Problem::invalid("image", message).hint("choose a larger size or another image"));
    }
    Ok(wanted.clone())
}

/// Keys by number, fingerprint or name, as numbers.
fn pick_keys(market: &Market, request: &AddEnvironmentRequest) -> Outcome<Vec<String>> {
    let pick = |(at, wanted): (usize, &String)| {
        let is = |key: &&SshKey| {
            key.id.to_string() == *wanted || key.fingerprint == *wanted || key.name == *wanted
        };
        market.keys.iter().find(is).map(|key| key.id.to_string()).ok_or_else(|| {
            let message = format!("the DigitalOcean account has no SSH key `{wanted}`");
            let there = market.keys.iter().map(|key| key.name.as_str());
            unknown(&format!("ssh_keys.{at}"), message, wanted, there)
        })
    };
    request.ssh_keys.iter().enumerate().map(pick).collect()
}

fn unknown<'a>(field: &str, message: String, wanted: &str, there: impl Iterator<Item = &'a str>) -> Problem {
    let hint = match nearest(wanted, there) {
        Some(near) => format!("did you mean `{near}`? {OPTIONS}"),
        None => OPTIONS.to_owned(),
    };
    Problem::invalid(field, message).hint(hint)
}

fn listed(words: &[impl AsRef<str>]) -> String {
    match words {
        [] => "none".to_owned(),
        words => words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
    }
}
