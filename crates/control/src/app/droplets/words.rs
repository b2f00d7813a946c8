//! How a droplet's state is told: what is being done, what went wrong, what is left and what it costs.

use api::environments::EnvironmentDroplet;
use domain::provisioning::{Fault, Firewall};
use domain::status::EnvironmentStatus;
use store::droplets::DropletRow;
use store::environments::EnvironmentRow;

use crate::app::App;

/// A droplet as its account sees it.
pub(crate) fn render(row: &EnvironmentRow, droplet: &DropletRow) -> EnvironmentDroplet {
    let made = &row.droplet;
    #[expect(clippy::cast_precision_loss, reason = "a price in cents")]
    let price_monthly = droplet.price_cents as f64 / 100.0;
    EnvironmentDroplet {
        id: made.id,
        name: made.name.clone().unwrap_or_default(),
        region: made.region_slug.clone().unwrap_or_default(),
        size: made.size_slug.clone().unwrap_or_default(),
        image: made.image_slug.clone().unwrap_or_default(),
        price_monthly,
        status: droplet.provider_status.clone(),
        address: row.public_ip_address.clone(),
        step: step_of(row, droplet),
    }
}

/// What is being done.
fn step_of(row: &EnvironmentRow, droplet: &DropletRow) -> Option<String> {
    let number = row.droplet.id.map(|id| format!(" {id}")).unwrap_or_default();
    Some(match row.status {
        EnvironmentStatus::Creating if droplet.firewall != Firewall::Made => {
            "setting up its firewall".to_owned()
        }
        EnvironmentStatus::Creating => "asking DigitalOcean for the droplet".to_owned(),
        EnvironmentStatus::Provisioning => format!("DigitalOcean is making droplet{number}"),
        EnvironmentStatus::AwaitingHeartbeat => {
            format!("droplet{number} is on; its first start installs Berth and takes a minute or two")
        }
        EnvironmentStatus::Deleting | EnvironmentStatus::ErrorDeletion if row.droplet.id.is_some() => {
            format!("destroying droplet{number}")
        }
        EnvironmentStatus::Deleting | EnvironmentStatus::ErrorDeletion => {
            "making sure that no droplet is left".to_owned()
        }
        _ => return None,
    })
}

/// What is to be said of a droplet's environment beyond what is said of any; `None`: what is said of any.
pub(crate) fn message_of(app: &App, row: &EnvironmentRow, droplet: &DropletRow) -> Option<String> {
    let id = row.droplet.id.unwrap_or_default();
    let off = droplet.provider_status.as_deref() == Some("off");
    let trouble = droplet.trouble.as_ref().map(|trouble| format!("; it is tried again: {trouble}"));
    let trouble = trouble.unwrap_or_default();
    let step = step_of(row, droplet);
    let under_way = || Some(format!("{}{trouble}", step.clone().unwrap_or_default()));
    match row.status {
        EnvironmentStatus::Active => None,
        // Nobody looks.
        _ if app.provider.is_none() && row.status != EnvironmentStatus::ErrorCreation => Some(format!(
            "this control plane has no DigitalOcean token, so nobody looks after {}: start it with one in DIGITALOCEAN_TOKEN",
            what(row)
        )),
        EnvironmentStatus::AwaitingHeartbeat | EnvironmentStatus::Unresponsive if off => Some(format!(
            "droplet {id} is off at DigitalOcean, where it costs as much as before: power it on with \
             `doctl compute droplet-action power-on {id}` or at https://cloud.digitalocean.com/droplets/{id}"
        )),
        EnvironmentStatus::Unresponsive if droplet.provider_status.as_deref() == Some("active") => {
            let since = row.last_heartbeat_at.map(|at| format!(" since {at}")).unwrap_or_default();
            Some(format!(
                "no heartbeat{since}, though droplet {id} is on at DigitalOcean: see at \
                 https://cloud.digitalocean.com/droplets/{id}/console that `systemctl status berth-dtma` is well there and that \
                 it reaches this control plane; one that was rebuilt is enrolled again with the line of `berth env enrol {}`",
                row.name
            ))
        }
        EnvironmentStatus::Unresponsive => None,
        EnvironmentStatus::ErrorDeletion => {
            let why = row.provisioning_error_message.clone().unwrap_or_default();
            Some(format!("{why}{trouble}"))
        }
        EnvironmentStatus::ErrorCreation
        | EnvironmentStatus::ErrorProvisioning
        | EnvironmentStatus::Deprovisioned => {
            row.provisioning_error_message.as_ref().map(|why| format!("{why}{trouble}"))
        }
        EnvironmentStatus::Creating
        | EnvironmentStatus::Provisioning
        | EnvironmentStatus::AwaitingHeartbeat
        | EnvironmentStatus::Deleting => under_way(),
    }
}

/// Why there is no usable droplet, what is left of it, and what to do. `cause` is what the provider said.
pub(crate) fn failure(
    row: &EnvironmentRow,
    droplet: &DropletRow,
    fault: Fault,
    cause: Option<&str>,
) -> String {
    let name = &row.name;
    let cause = cause.or(droplet.trouble.as_deref());
    let because = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    let again = format!("`berth env remove {name}` frees the name for another try");
    match fault {
        Fault::Refused => format!("no droplet was made{because}; {again}"),
        Fault::NotTaken => format!(
            "DigitalOcean made no droplet in time{because}; one that appears late is destroyed; {again}"
        ),
        Fault::NeverOn => format!("{} was not on in time and is destroyed{because}; {again}", what(row)),
        Fault::NoHeartbeat => format!(
            "{} is on and its host agent has not reported in time; it costs {} a month: look into \
             /var/log/cloud-init-output.log there, enrol it with the line of `berth env enrol {name}`, or destroy it with \
             `berth env remove {name}`",
            what(row),
            price(droplet)
        ),
        Fault::Vanished => format!(
            "{} was destroyed outside Berth, and what was on it is lost; `berth env remove {name}` removes the environment",
            what(row)
        ),
        Fault::Undestroyed => format!(
            "{} could not be destroyed yet and costs {} a month{because}; it is tried on, or destroy it at \
             https://cloud.digitalocean.com/droplets",
            what(row),
            price(droplet)
        ),
    }
}

fn what(row: &EnvironmentRow) -> String {
    row.droplet.id.map_or_else(|| "its droplet".to_owned(), |id| format!("droplet {id}"))
}

fn price(droplet: &DropletRow) -> String {
    format!("${}.{:02}", droplet.price_cents / 100, droplet.price_cents % 100)
}
