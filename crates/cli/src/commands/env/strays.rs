//! `berth env strays`: droplets that cost money and are no environment's.

use api::droplets::Stray;
use comfy_table::Cell;

use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Shows them, or destroys one after asking.
pub(super) async fn run(
    destroy: Option<u64>,
    yes: bool,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let strays: Vec<Stray> = client.get("/digitalocean/strays").await?;
    let Some(id) = destroy else { return show(&strays, output) };
    if !yes && let Some(stray) = strays.iter().find(|stray| stray.id == id) {
        let unasked =
            CliError::usage("destroying a droplet cannot be taken back").with_hint("say so with `--yes`");
        let question = format!(
            "Destroy droplet {id} `{}` ({} in {}, made {})? It may be another control plane's. This cannot be taken back.",
            stray.name, stray.size, stray.region, stray.created_at
        );
        output.confirm(&question, unasked)?;
    }
    client.delete(&format!("/digitalocean/strays/{id}")).await?;
    output.say(&format!("destroyed droplet {id}"));
    Ok(())
}

fn show(strays: &[Stray], output: Output) -> Result<(), CliError> {
    if output.json() {
        return output.document(&strays);
    }
    if strays.is_empty() {
        output.say("every droplet that carries Berth's tags is an environment of this control plane");
        return Ok(());
    }
    let rows = strays
        .iter()
        .map(|stray| {
            [
                Cell::new(stray.id),
                Cell::new(&stray.name),
                Cell::new(&stray.status),
                Cell::new(&stray.region),
                Cell::new(&stray.size),
                Cell::new(&stray.created_at),
            ]
        })
        .collect();
    output.table(["ID", "NAME", "STATUS", "REGION", "SIZE", "MADE"], rows)?;
    output.hint(
        "they cost money; `berth env strays --destroy ID` destroys one, if it is not another control plane's",
    );
    Ok(())
}
