//! Writing a plan: the catalog's entries in one transaction, then each account in one of its own. What breaks off leaves whole accounts,
//! and the same plan made again has only the rest.

use domain::ids::AccountId;
use domain::time::Timestamp;
use serde_json::json;
use store::{Store, Tx};

use super::plan::{Plan, Tenant};
use crate::app::audit::{self, Act};
use crate::app::{Outcome, Problem};
use crate::auth::token;
use crate::directory::now;
use crate::secrets::MasterKey;

/// Who acts: nobody has shown who they are, but whoever reads the master key may do anything.
const ACTOR: &str = "system:import";

/// Counts what is written.
struct Writer<'a> {
    keys: &'a MasterKey,
    at: Timestamp,
    left: Option<u32>,
}

impl Writer<'_> {
    fn step(&mut self) -> Outcome<()> {
        match &mut self.left {
            Some(0) => Err(Problem::Failed("broken off, as it was asked".into())),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn note(&self, tx: &mut Tx, account: AccountId, act: Act<'_>) -> Outcome<()> {
        audit::note(tx, account, ACTOR.to_owned(), self.at, act).await
    }
}

/// Writes all of it, at most so many rows.
///
/// # Errors
/// What the store says. Accounts that were finished before stay.
pub(super) async fn apply(
    store: &Store,
    keys: &MasterKey,
    plan: &Plan,
    most_writes: Option<u32>,
) -> Outcome<()> {
    let mut writer = Writer { keys, at: now(), left: most_writes };
    if !plan.entries.is_empty() {
        let mut tx = store.begin().await?;
        for (entry, at) in &plan.entries {
            writer.step()?;
            let provider = entry.listing.publisher.as_deref().unwrap_or_default();
            store::catalog::upsert(&mut tx, entry, provider, *at).await?;
        }
        // The catalog is everybody's, so its line is where admins of the installation look.
        if let Some(account) =
            store::accounts::list_accounts(store).await?.into_iter().min_by_key(|row| row.created_at)
        {
            let names: Vec<&str> = plan.entries.iter().map(|(entry, _)| entry.name.as_str()).collect();
            let detail = json!({ "entries": names });
            let act = Act {
                action: "catalog.import",
                kind: "catalog",
                id: "imported".to_owned(),
                name: "imported",
                detail,
            };
            writer.note(&mut tx, account.id, act).await?;
        }
        tx.commit().await?;
    }
    for tenant in plan.tenants.iter().filter(|tenant| !tenant.is_empty()) {
        let mut tx = store.begin().await?;
        write_people(&mut writer, &mut tx, tenant).await?;
        write_machines(&mut writer, &mut tx, tenant).await?;
        write_agents(&mut writer, &mut tx, tenant).await?;
        tx.commit().await?;
    }
    Ok(())
}

impl Tenant {
    fn is_empty(&self) -> bool {
        self.new_account.is_none()
            && self.people.is_empty()
            && self.members.is_empty()
            && self.identities.is_empty()
            && self.environments.is_empty()
            && self.instances.is_empty()
            && self.agents.is_empty()
            && self.toolboxes.is_empty()
            && self.items.is_empty()
            && self.permissions.is_empty()
            && self.credentials.is_empty()
            && self.access.is_empty()
    }
}

async fn write_people(writer: &mut Writer<'_>, tx: &mut Tx, tenant: &Tenant) -> Outcome<()> {
    if let Some(account) = &tenant.new_account {
        writer.step()?;
        store::accounts::insert(tx, account).await?;
    }
    for person in &tenant.people {
        writer.step()?;
        store::people::insert(tx, person).await?;
        let (id, detail) = (person.id.to_string(), json!({ "email": person.email }));
        let act = Act { action: "user.import", kind: "user", id, name: &person.name, detail };
        writer.note(tx, tenant.account, act).await?;
    }
    for (user, role, at) in &tenant.members {
        writer.step()?;
        store::accounts::add_member(tx, tenant.account, *user, *role, *at).await?;
    }
    for (issuer, subject, user) in &tenant.identities {
        writer.step()?;
        if !store::identities::keep(tx, issuer, subject, *user, writer.at).await? {
            return Err(Problem::refused(
                api::errors::ErrorCode::Conflict,
                format!("somebody signed in as {subject} meanwhile"),
            )
            .hint("import again"));
        }
    }
    Ok(())
}

async fn write_machines(writer: &mut Writer<'_>, tx: &mut Tx, tenant: &Tenant) -> Outcome<()> {
    for (row, token) in &tenant.environments {
        writer.step()?;
        let mut row = row.clone();
        let hash = token.as_ref().map(|token| token::hash_text(token.expose()));
        if let Some(token) = token {
            row.dtma_token_sealed = Some(writer.keys.seal(row.id.0, token.expose())?);
        }
        store::environments::insert(tx, &row, hash.as_deref()).await?;
        let detail = json!({ "droplet": row.droplet.id, "address": row.public_ip_address });
        let id = row.id.to_string();
        let act =
            Act { action: "environment.import", kind: "environment", id, name: row.name.as_str(), detail };
        writer.note(tx, tenant.account, act).await?;
    }
    for (row, secrets) in &tenant.instances {
        writer.step()?;
        let mut row = row.clone();
        row.secrets_sealed = writer.keys.seal_all(row.id.0, secrets)?;
        store::instances::insert(tx, &row).await?;
        let detail = json!({ "package": row.spec.package.to_string(), "environment": row.environment });
        let id = row.id.to_string();
        let act = Act { action: "instance.import", kind: "instance", id, name: row.name.as_str(), detail };
        writer.note(tx, tenant.account, act).await?;
    }
    Ok(())
}

async fn write_agents(writer: &mut Writer<'_>, tx: &mut Tx, tenant: &Tenant) -> Outcome<()> {
    for (agent, belt) in &tenant.agents {
        writer.step()?;
        store::agents::insert(tx, agent).await?;
        store::toolbelts::insert(tx, belt).await?;
        let (id, detail) = (agent.id.to_string(), json!({ "toolbelt": belt.name }));
        let act = Act { action: "agent.import", kind: "agent", id, name: agent.name.as_str(), detail };
        writer.note(tx, tenant.account, act).await?;
    }
    for row in &tenant.toolboxes {
        writer.step()?;
        store::agents::grant_toolbox(tx, row).await?;
    }
    for row in &tenant.items {
        writer.step()?;
        store::toolbelts::add_item(tx, row).await?;
    }
    for row in &tenant.permissions {
        writer.step()?;
        store::agents::set_permission(tx, row).await?;
    }
    for (row, values) in &tenant.credentials {
        writer.step()?;
        let sealed = writer.keys.seal_all(row.id.0, values)?.unwrap_or_default();
        store::agents::insert_credential(tx, &store::agents::CredentialRow { sealed, ..row.clone() }).await?;
    }
    for row in &tenant.access {
        writer.step()?;
        store::agents::grant_server(tx, row).await?;
    }
    let rights = [
        ("environments", tenant.toolboxes.len()),
        ("items", tenant.items.len()),
        ("permissions", tenant.permissions.len()),
        ("credentials", tenant.credentials.len()),
        ("servers", tenant.access.len()),
    ];
    if rights.iter().any(|(_, count)| *count != 0) {
        let detail: serde_json::Map<_, _> =
            rights.iter().map(|(what, count)| ((*what).to_owned(), json!(count))).collect();
        let (id, name) = (tenant.account.to_string(), tenant.name.as_str());
        let act = Act { action: "agent.import_rights", kind: "account", id, name, detail: detail.into() };
        writer.note(tx, tenant.account, act).await?;
    }
    Ok(())
}
