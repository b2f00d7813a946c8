//! What agents bring to members of their toolbelts: given by people, shown to nobody, and handed to the instance's host for the agent's own
//! calls.

use std::collections::{BTreeMap, BTreeSet};

use api::agents::{Credential, CredentialRequest};
use domain::ids::{AgentCredentialId, AgentId, InstanceId};
use domain::package::Package;
use domain::secret::{Secret, Secrets};
use domain::toolbelts::CredentialStatus;
use serde_json::json;
use store::StoreError;
use store::agents::CredentialRow;
use store::toolbelts::ItemRow;

use super::{act, find, find_own, toolbelt};
use crate::app::deployment::nearest;
use crate::app::own_values::{check, listed};
use crate::app::{App, Outcome, Problem, audit, toolbelts};
use crate::auth::Caller;
use crate::directory::now;

/// All values of one credential together, in bytes.
const MOST: usize = 64 << 10;
/// The longest of the texts beside the values, in characters.
const MAX_TEXT: usize = 100;

/// What an agent brings to the members of its toolbelt, without the values.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn credentials(app: &App, caller: &Caller, agent: &str) -> Outcome<Vec<Credential>> {
    let agent = find(app, caller, agent).await?;
    let belt = toolbelt(app, &agent).await?;
    let mut all = Vec::new();
    for item in store::toolbelts::items(&app.store, belt.id).await? {
        let each = each_caller(app, item.instance).await?;
        for row in store::agents::credentials(&app.store, item.id).await? {
            all.push(render(app, row, &item, &each)?);
        }
    }
    Ok(all)
}

/// Keeps what an agent brings to a member of its toolbelt. Of several active ones the newest value of a name counts.
///
/// # Errors
/// 403 as for every change, 404 with the nearest name, 422 with field.
pub(crate) async fn add_credential(
    app: &App,
    caller: &Caller,
    agent: &str,
    request: &CredentialRequest,
) -> Outcome<Credential> {
    let agent = find_own(app, caller, agent).await?;
    let belt = toolbelt(app, &agent).await?;
    let item = toolbelts::member(app, &belt, &request.instance).await?;
    let row = store::instances::by_id(&app.store, item.instance).await?;
    let row = row.ok_or_else(|| Problem::not_found("instance", item.instance_name.as_str()))?;
    for (field, text) in [
        ("credential_type", Some(&request.credential_type)),
        ("account_identifier", request.account_identifier.as_ref()),
    ] {
        let Some(text) = text else { continue };
        if !(1..=MAX_TEXT).contains(&text.chars().count()) || text.chars().any(char::is_control) {
            let message = format!("it has 1 to {MAX_TEXT} characters, none of them control characters");
            return Err(Problem::invalid(field, message));
        }
    }
    let each = &row.spec.launch.each_caller;
    if request.values.is_empty() {
        let problem = Problem::invalid("values", "no value is given");
        return Err(if each.is_empty() {
            problem
        } else {
            problem.hint(format!("give {}", listed(each.keys())))
        });
    }
    let is_remote = matches!(row.spec.package, Package::Remote { .. });
    for (name, value) in &request.values {
        let at = format!("values.{name}");
        if name.is_empty() || MAX_TEXT < name.chars().count() || name.chars().any(char::is_control) {
            return Err(Problem::invalid(at, format!("a name has 1 to {MAX_TEXT} characters")));
        }
        // Where callers bring nothing the credential is kept for who asks for it by the older platform's route.
        if !each.is_empty() && !each.contains_key(name) {
            let problem = Problem::invalid(at, format!("callers of `{}` bring no `{name}`", row.name));
            return Err(problem.hint(match nearest(name, each.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("they bring {}", listed(each.keys())),
            }));
        }
        check(&at, value, is_remote)?;
    }
    if MOST < request.values.iter().map(|(name, value)| name.len() + value.expose().len()).sum() {
        return Err(Problem::invalid("values", format!("all together have at most {} KiB", MOST >> 10)));
    }
    let (id, at) = (AgentCredentialId::generate(), now());
    let kept = CredentialRow {
        id,
        item: item.id,
        credential_type: request.credential_type.clone(),
        sealed: app.keys.seal_all(id.0, &request.values)?.unwrap_or_default(),
        account_identifier: request.account_identifier.clone(),
        last_validated_at: None,
        status: request.status,
        created_at: at,
        updated_at: at,
    };
    let mut tx = app.store.begin().await?;
    store::agents::insert_credential(&mut tx, &kept).await?;
    let names: Vec<&String> = request.values.keys().collect();
    let detail =
        json!({ "instance": item.instance_name, "credential": id, "names": names, "status": kept.status });
    audit::note(&mut tx, caller.account, caller.actor(), at, act("agent.credential_add", &agent, detail))
        .await?;
    tx.commit().await?;
    app.agent_changed(&agent);
    render(app, kept, &item, each)
}

/// Removes what an agent brings. Its calls go without within ten seconds.
///
/// # Errors
/// 403 as for every change, 404.
pub(crate) async fn remove_credential(app: &App, caller: &Caller, agent: &str, id: &str) -> Outcome<()> {
    let agent = find_own(app, caller, agent).await?;
    let belt = toolbelt(app, &agent).await?;
    let unknown = || {
        Problem::not_found("credential of that agent", id).hint(format!(
            "`berth agent credential list {}` shows those there are, with their ids",
            agent.name
        ))
    };
    let id: AgentCredentialId = id.parse().map_err(|_| unknown())?;
    for item in store::toolbelts::items(&app.store, belt.id).await? {
        let mut tx = app.store.begin().await?;
        match store::agents::remove_credential(&mut tx, item.id, id).await {
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {
                let detail = json!({ "instance": item.instance_name, "credential": id });
                let act = act("agent.credential_remove", &agent, detail);
                audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
                tx.commit().await?;
                app.agent_changed(&agent);
                return Ok(());
            }
        }
    }
    Err(unknown())
}

/// What an agent brings to an instance that is an active member of its toolbelt, by what callers bring. Nothing of another agent's.
///
/// # Errors
/// What the store and the master key say.
pub(crate) async fn secrets_of_caller(app: &App, agent: AgentId, instance: InstanceId) -> Outcome<Secrets> {
    let mut all = Secrets::new();
    for row in store::agents::credentials_of_caller(&app.store, agent, instance).await? {
        all.extend(app.keys.unseal_all(row.id.0, Some(&row.sealed))?);
    }
    Ok(all)
}

/// The values that all agents bring to an instance.
///
/// # Errors
/// What the store and the master key say.
pub(crate) async fn known_to(app: &App, instance: InstanceId) -> Outcome<Vec<Secret>> {
    let mut all = Vec::new();
    for row in store::agents::credentials_of_instance(&app.store, instance).await? {
        all.extend(app.keys.unseal_all(row.id.0, Some(&row.sealed))?.into_values());
    }
    Ok(all)
}

async fn each_caller(app: &App, instance: InstanceId) -> Outcome<BTreeMap<String, String>> {
    let row = store::instances::by_id(&app.store, instance).await?;
    Ok(row.map(|row| row.spec.launch.each_caller).unwrap_or_default())
}

fn render(
    app: &App,
    row: CredentialRow,
    item: &ItemRow,
    each: &BTreeMap<String, String>,
) -> Outcome<Credential> {
    let values = app.keys.unseal_all(row.id.0, Some(&row.sealed))?;
    let names: BTreeSet<&String> = values.keys().collect();
    Ok(Credential {
        id: row.id,
        instance: item.instance_name.clone(),
        credential_type: row.credential_type,
        is_used: item.is_active
            && row.status == CredentialStatus::Active
            && names.iter().all(|name| each.contains_key(*name)),
        names: names.into_iter().cloned().collect(),
        account_identifier: row.account_identifier,
        last_validated_at: row.last_validated_at,
        status: row.status,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
