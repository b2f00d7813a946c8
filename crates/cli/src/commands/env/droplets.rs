//! `berth env add digitalocean` and `berth env options digitalocean`: a machine that Berth makes, what it can be, and following
//! it until it reports or is gone.

use std::time::Duration;

use api::droplets::DropletOptions;
use api::environments::{AddEnvironmentRequest, Environment, EnvironmentKind};
use api::errors::ErrorCode;
use comfy_table::Cell;
use domain::status::EnvironmentStatus;

use super::{answers, path_of};
use crate::args::AddDropletArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Between two looks at how far it is.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// What an example is made of: the cheapest size with room for servers beside the system.
const EXAMPLE_MEMORY_MIB: u64 = 1024;

/// Shows what there is.
pub(super) async fn options(client: &Client, output: Output) -> Result<(), CliError> {
    let options = ask(client).await?;
    if output.json() {
        return output.document(&options);
    }
    show(&options, "NAME", output)
}

async fn ask(client: &Client) -> Result<DropletOptions, CliError> {
    client.get("/digitalocean/options").await
}

fn show(options: &DropletOptions, name: &str, output: Output) -> Result<(), CliError> {
    let sizes = options.sizes.iter().map(|size| {
        [
            Cell::new(&size.slug),
            Cell::new(format!("${:.2}", size.price_monthly)),
            Cell::new(size.vcpus),
            Cell::new(format!("{} MiB", size.memory_mib)),
            Cell::new(format!("{} GiB", size.disk_gib)),
            Cell::new(size.regions.join(" ")),
        ]
    });
    output.table(["SIZE", "A MONTH", "CPUS", "MEMORY", "DISK", "REGIONS"], sizes.collect())?;
    output.data("")?;
    let regions = options.regions.iter().map(|region| [Cell::new(&region.slug), Cell::new(&region.name)]);
    output.table(["REGION", "PLACE"], regions.collect())?;
    output.data("")?;
    let images = options.images.iter().map(|image| [Cell::new(&image.slug), Cell::new(&image.name)]);
    output.table(["IMAGE", "SYSTEM"], images.collect())?;
    if !options.ssh_keys.is_empty() {
        output.data("")?;
        let keys = options.ssh_keys.iter().map(|key| [Cell::new(&key.name), Cell::new(&key.fingerprint)]);
        output.table(["SSH KEY", "FINGERPRINT"], keys.collect())?;
    }
    output.say(&format!(
        "the account has {} of {} droplets; the image is {} where none is named",
        options.droplets, options.droplet_limit, options.default_image
    ));
    let fits = options.sizes.iter().find(|size| EXAMPLE_MEMORY_MIB <= size.memory_mib);
    if let Some(size) = fits
        && let Some(region) = size.regions.first()
    {
        output.hint(&format!(
            "berth env add digitalocean --name {name} --region {region} --size {}",
            size.slug
        ));
    }
    Ok(())
}

/// Orders a droplet and follows it; without region or size it says what there is.
pub(super) async fn add(args: AddDropletArgs, client: &Client, output: Output) -> Result<(), CliError> {
    if args.region.is_none() || args.size.is_none() {
        let options = ask(client).await?;
        if output.json() {
            output.document(&options)?;
        } else {
            show(&options, &args.name, output)?;
        }
        return Err(CliError::usage("nothing was made: a droplet needs `--region` and `--size`"));
    }
    if !args.no_check {
        answers::check(answers::For::Order, client).await?;
    }
    let request = AddEnvironmentRequest {
        region: args.region,
        size: args.size,
        image: args.image,
        ssh_keys: args.ssh_keys,
        allow_ssh: args.allow_ssh,
        ..AddEnvironmentRequest::new(&args.name, EnvironmentKind::DigitalOcean)
    };
    let mut added: Environment = client.post("/environments", &request).await?;
    let name = added.name.to_string();
    if let Some(droplet) = &added.droplet {
        output.say(&format!(
            "`{name}`: {} in {} for ${:.2} a month until it is removed",
            droplet.size, droplet.region, droplet.price_monthly
        ));
    }
    if !args.no_wait {
        added = tokio::select! {
            environment = follow(added, client, output) => environment?,
            _ = tokio::signal::ctrl_c() => {
                output.say(&format!("no longer waiting; `{name}` goes on being made"));
                output.hint(&format!("`berth env show {name}` says how far it is, `berth env remove {name}` gives it up"));
                return Err(CliError::Said);
            }
        };
    }
    if output.json() {
        output.document(&added)?;
    }
    if is_failed(added.status) {
        let message = added.message.unwrap_or_else(|| added.status.to_string());
        return Err(CliError::failed(format!("`{name}`: {message}")));
    }
    if !output.json() {
        output.data(&format!("{name} {}", added.status))?;
    }
    output.hint(&if added.status == EnvironmentStatus::Active {
        format!("berth deploy everything --env {name} --wait")
    } else {
        format!("`berth env show {name}` says how far it is")
    });
    Ok(())
}

/// Until it reports or has failed.
async fn follow(
    mut environment: Environment,
    client: &Client,
    output: Output,
) -> Result<Environment, CliError> {
    let mut steps = output.steps();
    while environment.status != EnvironmentStatus::Active && !is_failed(environment.status) {
        if let Some(message) = &environment.message {
            steps.show(&format!("{}: {message}", environment.name), None);
        }
        tokio::time::sleep(ASK_EVERY).await;
        environment = client.get(&path_of(environment.name.as_str())).await?;
    }
    steps.end();
    Ok(environment)
}

/// After a removal was asked for: until nothing of it is left.
pub(super) async fn follow_removal(
    name: &str,
    no_wait: bool,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    if no_wait {
        output.say(&format!("the droplet of `{name}` is being destroyed"));
        output.hint(&format!("`berth env show {name}` knows it until DigitalOcean has it no more"));
        return Ok(());
    }
    let mut steps = output.steps();
    loop {
        let left: Result<Environment, CliError> = client.get(&path_of(name)).await;
        let environment = match left {
            Ok(environment) => environment,
            Err(CliError::Refused(detail)) if detail.code == ErrorCode::NotFound => break,
            Err(error) => return Err(error),
        };
        let message = environment.message.unwrap_or_default();
        if environment.status == EnvironmentStatus::ErrorDeletion {
            steps.end();
            return Err(CliError::failed(format!("`{name}`: {message}")));
        }
        steps.show(&format!("{name}: {message}"), None);
        tokio::time::sleep(ASK_EVERY).await;
    }
    steps.end();
    output.say(&format!("removed `{name}`: DigitalOcean has no droplet of it"));
    Ok(())
}

fn is_failed(status: EnvironmentStatus) -> bool {
    matches!(
        status,
        EnvironmentStatus::ErrorCreation
            | EnvironmentStatus::ErrorProvisioning
            | EnvironmentStatus::ErrorDeletion
            | EnvironmentStatus::Deleting
            | EnvironmentStatus::Deprovisioned
    )
}
