//! What becomes of an older database: decided from what is there and what is here, without I/O.

use std::collections::{BTreeMap, BTreeSet};

use api::users::Role;
use domain::catalog::CatalogEntry;
use domain::ids::{AccountId, CatalogEntryId, InstanceId, ToolbeltId, ToolbeltItemId, UserId};
use domain::names::AccountName;
use domain::secret::{Secret, Secrets};
use domain::time::Timestamp;
use store::accounts::AccountRow;
use store::agents::{AgentRow, CredentialRow, PermissionRow, ServerAccessRow, ToolboxAccessRow};
use store::environments::EnvironmentRow;
use store::instances::InstanceRow;
use store::older::Older;
use store::people::PersonRow;
use store::toolbelts::{ItemRow, ToolbeltRow};
use uuid::Uuid;

use super::known::Known;
use super::report::{ReportLine, Verdict};
use super::{agents, entries, environments, instances, people, remotes};
use crate::app::Outcome;

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) account: Option<&'a AccountName>,
    pub(super) issuer: Option<&'a str>,
    pub(super) insecure_http: bool,
    /// The time of what has none.
    pub(super) now: Timestamp,
}

/// What is to be written, and what is to be said.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) lines: Vec<ReportLine>,
    pub(super) entries: Vec<(CatalogEntry, Timestamp)>,
    pub(super) tenants: Vec<Tenant>,
}

/// What is to be written for one account, in the order in which it is.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) account: AccountId,
    pub(super) name: AccountName,
    pub(super) new_account: Option<AccountRow>,
    pub(super) people: Vec<PersonRow>,
    pub(super) members: Vec<(UserId, Role, Timestamp)>,
    /// Issuer, subject and user.
    pub(super) identities: Vec<(String, String, UserId)>,
    pub(super) environments: Vec<(EnvironmentRow, Option<Secret>)>,
    pub(super) instances: Vec<(InstanceRow, Secrets)>,
    pub(super) agents: Vec<(AgentRow, ToolbeltRow)>,
    pub(super) toolboxes: Vec<ToolboxAccessRow>,
    pub(super) items: Vec<ItemRow>,
    pub(super) permissions: Vec<PermissionRow>,
    pub(super) credentials: Vec<(CredentialRow, Secrets)>,
    pub(super) access: Vec<ServerAccessRow>,
}

impl Tenant {
    pub(super) fn new(account: AccountId, name: AccountName) -> Self {
        Self {
            account,
            name,
            new_account: None,
            people: Vec::new(),
            members: Vec::new(),
            identities: Vec::new(),
            environments: Vec::new(),
            instances: Vec::new(),
            agents: Vec::new(),
            toolboxes: Vec::new(),
            items: Vec::new(),
            permissions: Vec::new(),
            credentials: Vec::new(),
            access: Vec::new(),
        }
    }
}

/// Whose something is: the place of its tenant, and the user.
pub(super) type Whose = (usize, Option<UserId>);

/// An agent that is, or will be, here.
#[derive(Debug, Clone)]
pub(super) struct PlacedAgent {
    pub(super) tenant: usize,
    pub(super) row: AgentRow,
    pub(super) belt: ToolbeltId,
}

/// An item that is, or will be, here.
#[derive(Debug, Clone)]
pub(super) struct PlacedItem {
    pub(super) tenant: usize,
    pub(super) id: ToolbeltItemId,
    pub(super) instance: InstanceId,
    pub(super) label: String,
}

/// A plan in the making.
#[derive(Debug)]
pub(super) struct Planner<'a> {
    pub(super) older: &'a Older,
    pub(super) known: &'a Known,
    pub(super) scope: &'a Scope<'a>,
    pub(super) plan: Plan,
    /// Entries that instances may refer to.
    pub(super) entries: BTreeSet<CatalogEntryId>,
    /// Who owned what there; why not, where nobody does here.
    pub(super) people: BTreeMap<Uuid, Result<Whose, String>>,
    pub(super) environments: BTreeMap<Uuid, (usize, EnvironmentRow)>,
    pub(super) instances: BTreeMap<Uuid, InstanceRow>,
    pub(super) agents: BTreeMap<Uuid, PlacedAgent>,
    pub(super) items: BTreeMap<Uuid, PlacedItem>,
    /// Names of instances and toolbelts, which are one kind of address.
    pub(super) addresses: BTreeMap<AccountId, BTreeSet<String>>,
}

/// Plans all of it.
///
/// # Errors
/// 422 when the account that was named is not here.
pub(super) fn plan(older: &Older, known: &Known, scope: &Scope<'_>) -> Outcome<Plan> {
    let mut addresses: BTreeMap<AccountId, BTreeSet<String>> = BTreeMap::new();
    let instances = known.instances.iter().map(|row| (row.account, &row.name));
    for (account, name) in instances.chain(known.belts.iter().map(|belt| (belt.account, &belt.name))) {
        addresses.entry(account).or_default().insert(name.to_string());
    }
    let mut planner = Planner {
        older,
        known,
        scope,
        plan: Plan::default(),
        entries: BTreeSet::new(),
        people: BTreeMap::new(),
        environments: BTreeMap::new(),
        instances: BTreeMap::new(),
        agents: BTreeMap::new(),
        items: BTreeMap::new(),
        addresses,
    };
    people::plan(&mut planner)?;
    entries::plan(&mut planner);
    environments::plan(&mut planner)?;
    instances::plan(&mut planner)?;
    agents::plan(&mut planner)?;
    remotes::plan(&mut planner)?;
    agents::plan_rights(&mut planner);
    Ok(planner.plan)
}

impl Planner<'_> {
    /// Whose a row of an older user is.
    pub(super) fn whose(&self, user: Option<Uuid>) -> Result<Whose, String> {
        match user {
            Some(user) => self
                .people
                .get(&user)
                .cloned()
                .unwrap_or_else(|| Err(format!("its owner {user} is not known there"))),
            None if self.scope.account.is_some() => Ok((0, None)),
            None => Err("it has no owner there; `--account` takes what has none".to_owned()),
        }
    }

    pub(super) fn tenant(&mut self, place: usize) -> &mut Tenant {
        &mut self.plan.tenants[place]
    }

    /// The name of a tenant's account.
    pub(super) fn account(&self, place: usize) -> Option<AccountName> {
        self.plan.tenants.get(place).map(|tenant| tenant.name.clone())
    }

    pub(super) fn account_id(&self, place: usize) -> AccountId {
        self.plan.tenants[place].account
    }

    /// Adds a line.
    #[expect(clippy::needless_pass_by_value, reason = "callers write the notes in place")]
    pub(super) fn say(
        &mut self,
        verdict: Verdict,
        kind: &'static str,
        id: Option<String>,
        name: &str,
        tenant: Option<usize>,
        notes: Vec<String>,
    ) {
        let account = tenant.and_then(|place| self.account(place));
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        self.plan.lines.push(ReportLine { verdict, kind, id, name: name.to_owned(), account, note });
    }

    /// Adds a line about something that is here: the fields in which it is something else.
    pub(super) fn compare(
        &mut self,
        kind: &'static str,
        id: Option<String>,
        name: &str,
        tenant: Option<usize>,
        fields: &[(&str, bool)],
    ) {
        let other: Vec<&str> = fields.iter().filter(|(_, same)| !same).map(|(field, _)| *field).collect();
        if other.is_empty() {
            return self.say(Verdict::There, kind, id, name, tenant, Vec::new());
        }
        let note = format!("it is here with another {}, which stays", other.join(", "));
        self.say(Verdict::Differs, kind, id, name, tenant, vec![note]);
    }
}
