//! Instances that came about on a host, without the control plane: an older caller deployed them there. They become
//! ordinary ones of the host's environment, and those that an older caller removed there are forgotten.
//!
//! The host's spec has generation 0; the row's first is 1, so the reconciler hands it over as any other, and with it the
//! key that the gateway knows. From then on the row decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use domain::ids::{CatalogEntryId, InstanceId};
use domain::names::slug;
use domain::package::Package;
use domain::status::{Adoption, InstanceStatus};
use serde_json::json;
use store::StoreError;
use store::environments::EnvironmentRow;
use store::instances::{InstanceRow, Moving, SpecColumn};

use crate::app::audit::{self, Act};
use crate::app::{App, Outcome, Problem, instances};
use crate::directory::now;

/// A name that somebody else takes meanwhile is chosen anew, so often.
const NAME_TRIES: usize = 5;
/// The longest name that a host may give.
const MAX_NAME: usize = 128;

/// Ids that were refused since the process started: they come again with every heartbeat. Losing it costs one line each.
#[derive(Debug, Default)]
pub(crate) struct RefusedOnce(Mutex<BTreeSet<InstanceId>>);

impl RefusedOnce {
    fn is_first(&self, id: InstanceId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
    }
}

/// Makes rows of what a host has and no row knows.
///
/// # Errors
/// What the store says. What cannot be adopted is told in the audit and keeps no heartbeat from being taken.
pub(crate) async fn adopt_all(
    app: &App,
    environment: &EnvironmentRow,
    adoptions: &[Adoption],
) -> Outcome<()> {
    let mut made = Vec::new();
    for adoption in adoptions {
        match store::instances::by_id(&app.store, adoption.spec.id).await? {
            // Its host has not taken the row's spec yet.
            Some(row) if row.environment == environment.id => {}
            Some(_) => {
                refuse(app, environment, adoption, "its id belongs to another environment's instance")
                    .await?;
            }
            None => match check(adoption) {
                Ok(()) => made.push(adopt(app, environment, adoption).await?),
                Err(why) => refuse(app, environment, adoption, why).await?,
            },
        }
    }
    if made.is_empty() { Ok(()) } else { app.changed(&made).await }
}

/// A host speaks for containers alone: what else runs there the control plane put there.
fn check(adoption: &Adoption) -> Result<(), &'static str> {
    let name = &adoption.name_on_toolbox;
    if !matches!(adoption.spec.package, Package::Oci { .. }) {
        return Err("it is no container image");
    }
    if adoption.spec.generation != 0 {
        return Err("its generation is not the host's own");
    }
    if name.is_empty() || MAX_NAME < name.len() || name.chars().any(char::is_control) {
        return Err("its name cannot be one");
    }
    Ok(())
}

async fn adopt(app: &App, environment: &EnvironmentRow, adoption: &Adoption) -> Outcome<InstanceRow> {
    let spec = &adoption.spec;
    let base = slug(&adoption.name_on_toolbox).parse().map_err(|error| Problem::invalid("name", error))?;
    let mut on_toolbox = adoption.name_on_toolbox.clone();
    let at = now();
    for _ in 0..NAME_TRIES {
        let row = InstanceRow {
            id: spec.id,
            account: environment.account,
            environment: environment.id,
            catalog_entry: CatalogEntryId::GENERIC_MCP,
            name: store::instances::next_free_name(&app.store, environment.account, &base).await?,
            instance_name_on_toolbox: on_toolbox.clone(),
            desired: spec.desired,
            generation: 1,
            restarts_asked: spec.restarts_asked,
            observed_generation: 0,
            status: InstanceStatus::PendingDeploy,
            message: None,
            spec: SpecColumn {
                package: spec.package.clone(),
                launch: spec.launch.clone(),
                env: spec.env.clone(),
                limits: spec.limits.clone(),
                moving: Moving { adopted: true, ..Moving::default() },
                candidate_of: None,
            },
            settings: BTreeMap::new(),
            secret_names: spec.secrets.keys().cloned().collect(),
            secrets_sealed: app.keys.seal_all(spec.id.0, &spec.secrets)?,
            version: None,
            digest: None,
            report: None,
            last_heartbeat_from_dtma: None,
            deleting: false,
            created_at: at,
            updated_at: at,
        };
        let mut tx = app.store.begin().await?;
        match store::instances::insert(&mut tx, &row).await {
            Ok(()) => {
                let detail = json!({ "package": spec.package.to_string(), "environment": environment.id });
                let act = act("instance.adopt", spec.id, row.name.as_str(), detail);
                audit::note(&mut tx, environment.account, actor(environment), at, act).await?;
                tx.commit().await?;
                tracing::info!(environment = %environment.name, instance = %row.name, "an instance of an older caller was adopted");
                return Ok(row);
            }
            // A row that its host has not taken yet has the name there; the id is as good.
            Err(StoreError::Taken { field: "instance_name_on_toolbox", .. }) => {
                on_toolbox = spec.id.to_string();
            }
            Err(StoreError::Taken { field: "name", .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::invalid("adopt", "no free name was found"))
}

async fn refuse(app: &App, environment: &EnvironmentRow, adoption: &Adoption, why: &str) -> Outcome<()> {
    let id = adoption.spec.id;
    if !app.refused.is_first(id) {
        return Ok(());
    }
    tracing::warn!(environment = %environment.name, instance = %id, why, "an instance of a host was not adopted");
    let name: String = adoption.name_on_toolbox.chars().take(MAX_NAME).collect();
    let name = name.replace('\0', "\u{fffd}");
    let act = act("instance.adopt_refused", id, &name, json!({ "environment": environment.id, "why": why }));
    let mut tx = app.store.begin().await?;
    audit::note(&mut tx, environment.account, actor(environment), now(), act).await?;
    Ok(tx.commit().await?)
}

/// Forgets what an older caller removed on a host: the host has it no more.
///
/// # Errors
/// What the store says.
pub(crate) async fn forget(app: &App, environment: &EnvironmentRow, removed: &[InstanceId]) -> Outcome<()> {
    let mut gone = Vec::new();
    for id in removed {
        let mut tx = app.store.begin().await?;
        store::toolbelts::touch_of_instance(&mut tx, *id).await?;
        let Some(row) = store::instances::delete_gone(&mut tx, environment.id, *id).await? else { continue };
        let detail = json!({ "environment": environment.id });
        let act = act("instance.removed_on_host", *id, row.name.as_str(), detail);
        audit::note(&mut tx, environment.account, actor(environment), now(), act).await?;
        tx.commit().await?;
        gone.push(row);
    }
    if !gone.is_empty() {
        app.directory.refresh().await?;
        app.belts.changed();
    }
    for row in &gone {
        instances::tell_removed(app, row);
    }
    Ok(())
}

fn act<'a>(action: &'a str, id: InstanceId, name: &'a str, detail: serde_json::Value) -> Act<'a> {
    Act { action, kind: "instance", id: id.to_string(), name, detail }
}

fn actor(environment: &EnvironmentRow) -> String {
    format!("environment:{}", environment.id)
}
