//! What Berth has already, as far as an import meets it.

use std::collections::{BTreeMap, BTreeSet};

use domain::catalog::CatalogEntry;
use domain::ids::{AgentCredentialId, EnvironmentId, InstanceId, UserId};
use domain::secret::{Secret, Secrets};
use store::Store;
use store::accounts::{AccountRow, MemberRow};
use store::agents::{AgentRow, CredentialRow, PermissionRow, ServerAccessRow, ToolboxAccessRow};
use store::environments::EnvironmentRow;
use store::instances::InstanceRow;
use store::older::Older;
use store::people::PersonRow;
use store::toolbelts::{ItemRow, ToolbeltRow};
use uuid::Uuid;

use super::remotes;
use crate::app::Outcome;
use crate::secrets::MasterKey;

/// Rows of Berth's.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) accounts: Vec<AccountRow>,
    pub(super) people: Vec<PersonRow>,
    pub(super) members: Vec<MemberRow>,
    /// Older users whom the issuer vouched for already.
    pub(super) identities: BTreeMap<Uuid, UserId>,
    pub(super) entries: Vec<CatalogEntry>,
    pub(super) environments: Vec<EnvironmentRow>,
    pub(super) tokens: BTreeMap<EnvironmentId, Secret>,
    pub(super) instances: Vec<InstanceRow>,
    /// Of the instances that the older database has too.
    pub(super) secrets: BTreeMap<InstanceId, Secrets>,
    pub(super) belts: Vec<ToolbeltRow>,
    pub(super) agents: Vec<AgentRow>,
    pub(super) toolboxes: Vec<ToolboxAccessRow>,
    pub(super) items: Vec<ItemRow>,
    pub(super) permissions: Vec<PermissionRow>,
    pub(super) credentials: Vec<CredentialRow>,
    pub(super) values: BTreeMap<AgentCredentialId, Secrets>,
    pub(super) access: Vec<ServerAccessRow>,
}

/// Reads them. What does not open counts as something else than what the older database has.
///
/// # Errors
/// What the store says.
pub(super) async fn read(
    store: &Store,
    keys: &MasterKey,
    older: &Older,
    issuer: Option<&str>,
) -> Outcome<Known> {
    let mut known = Known {
        accounts: store::accounts::list_accounts(store).await?,
        people: store::people::all(store).await?,
        members: store::accounts::list_all_members(store).await?,
        entries: store::catalog::all(store).await?,
        environments: store::environments::list_all(store).await?,
        instances: store::instances::list_all(store).await?,
        belts: store::toolbelts::all(store).await?.into_iter().map(|belt| belt.toolbelt).collect(),
        agents: store::agents::all(store).await?,
        ..Known::default()
    };
    if let Some(issuer) = issuer {
        let owners =
            older.environments.iter().map(|row| row.user).chain(older.agents.iter().map(|row| row.user));
        for user in owners.flatten().collect::<BTreeSet<Uuid>>() {
            if let Some(here) = store::identities::user_of(store, issuer, &user.to_string()).await? {
                known.identities.insert(user, here);
            }
        }
    }
    for row in &known.environments {
        let token = row.dtma_token_sealed.as_deref().and_then(|sealed| keys.unseal(row.id.0, sealed).ok());
        known.tokens.extend(token.map(|token| (row.id, token)));
    }
    let both: BTreeSet<Uuid> =
        older.instances.iter().map(|row| row.id).chain(older.remotes.iter().map(remotes::id_of)).collect();
    for row in known.instances.iter().filter(|row| both.contains(&row.id.0)) {
        if let Ok(secrets) = keys.unseal_all(row.id.0, row.secrets_sealed.as_deref()) {
            known.secrets.insert(row.id, secrets);
        }
    }
    let both: BTreeSet<Uuid> = older.agents.iter().map(|row| row.id).collect();
    for agent in known.agents.iter().filter(|row| both.contains(&row.id.0)) {
        known.toolboxes.extend(store::agents::toolboxes(store, agent.id).await?);
        known.access.extend(store::agents::servers(store, agent.id).await?);
        let Some(belt) = known.belts.iter().find(|belt| belt.agent == Some(agent.id)) else { continue };
        for item in store::toolbelts::items(store, belt.id).await? {
            known.permissions.extend(store::agents::permissions(store, item.id).await?);
            for row in store::agents::credentials(store, item.id).await? {
                if let Ok(values) = keys.unseal_all(row.id.0, Some(&row.sealed)) {
                    known.values.insert(row.id, values);
                }
                known.credentials.push(row);
            }
            known.items.push(item);
        }
    }
    Ok(known)
}
