//! Older users as people of Berth, and the accounts that what is theirs goes to.

use std::collections::BTreeSet;

use api::users::Role;
use domain::ids::{AccountId, UserId};
use domain::names::AccountName;
use domain::time::Timestamp;
use store::accounts::AccountRow;
use store::older::OlderUser;
use store::people::PersonRow;
use uuid::Uuid;

use super::names::{derived, free};
use super::plan::{Planner, Tenant, Whose};
use super::report::Verdict;
use crate::app::{Outcome, Problem, foreign};
use crate::auth::issuers::Foreign;

const KIND: &str = "user";
const ACCOUNT: &str = "account";

/// What is taken already.
struct Taken {
    people: BTreeSet<String>,
    emails: BTreeSet<String>,
    accounts: BTreeSet<String>,
}

/// Plans everybody who owns something.
///
/// # Errors
/// 422 when the account that was named is not here.
pub(super) fn plan(planner: &mut Planner<'_>) -> Outcome<()> {
    let (older, known) = (planner.older, planner.known);
    if let Some(name) = planner.scope.account {
        let row = known.accounts.iter().find(|row| row.name == *name).ok_or_else(|| {
            Problem::invalid("account", format!("there is no account `{name}`"))
                .hint(format!("make it with `berth account create {name}`, or leave `--account` out"))
        })?;
        planner.plan.tenants.push(Tenant::new(row.id, row.name.clone()));
    }
    let mut taken = Taken {
        people: known.people.iter().map(|row| row.name.clone()).collect(),
        emails: known.people.iter().filter_map(|row| row.email.clone()).collect(),
        accounts: known.accounts.iter().map(|row| row.name.to_string()).collect(),
    };
    let owners = older.environments.iter().map(|row| row.user).chain(older.agents.iter().map(|row| row.user));
    for id in owners.flatten().collect::<BTreeSet<Uuid>>() {
        let user = older.users.as_ref().map(|users| users.iter().find(|user| user.id == id));
        let whose = match user {
            Some(None) => gone(planner, id),
            user => one(planner, id, user.flatten(), &mut taken)?,
        };
        planner.people.insert(id, whose);
    }
    Ok(())
}

/// Somebody whose rows are there still.
fn gone(planner: &mut Planner<'_>, id: Uuid) -> Result<Whose, String> {
    let (whose, note) = if planner.scope.account.is_some() {
        (Ok((0, None)), "they are gone there; what was theirs is the account's and nobody's of its people")
    } else {
        let note = "they are gone there; what was theirs is left out, and `--account` takes it";
        (Err(format!("its owner {id} is gone there; `--account` takes what has none")), note)
    };
    planner.say(Verdict::LeftOut, KIND, Some(id.to_string()), &id.to_string(), None, vec![note.to_owned()]);
    whose
}

fn one(
    planner: &mut Planner<'_>,
    id: Uuid,
    user: Option<&OlderUser>,
    taken: &mut Taken,
) -> Outcome<Result<Whose, String>> {
    let known = planner.known;
    let email = user.and_then(|user| user.email.clone());
    let at = since(planner, id, user);
    let of_issuer = planner
        .scope
        .issuer
        .map(|issuer| {
            let who = Foreign { subject: id.to_string(), email: email.clone(), expires_at: Timestamp(0) };
            foreign::name_of(issuer, &who)
        })
        .transpose()?;
    let here = known.identities.get(&id).copied().unwrap_or(UserId(id));
    let person = known.people.iter().find(|row| row.id == here);
    let place = if planner.scope.account.is_some() {
        0
    } else {
        let own = AccountId(derived(ACCOUNT, &id.to_string()));
        let known_here = known.accounts.iter().find(|row| {
            let is_issuers = known.identities.contains_key(&id) && Some(&row.name) == of_issuer.as_ref();
            row.id == own || (is_issuers && is_member(planner, row.id, here))
        });
        if known_here.is_none() && known.identities.contains_key(&id) {
            let note =
                "they signed in here already and have no account of their own: import with `--account`";
            let name = person.map_or_else(|| id.to_string(), |row| row.name.clone());
            planner.say(Verdict::LeftOut, KIND, Some(id.to_string()), &name, None, vec![note.to_owned()]);
            return Ok(Err(format!("its owner `{name}` has no account of their own here")));
        }
        own_account(planner, known_here, own, (of_issuer.as_ref(), email.as_deref(), id), at, taken)?
    };
    let told = Some(id.to_string());
    if let Some(person) = person {
        let account = planner.account_id(place);
        if is_member(planner, account, here) {
            identify(planner, place, id, here, of_issuer.as_ref());
            planner.say(Verdict::There, KIND, told, &person.name, Some(place), Vec::new());
        } else {
            let note = "they are no member of the account here: invite them, or change nothing";
            planner.say(Verdict::Differs, KIND, told, &person.name, Some(place), vec![note.to_owned()]);
        }
        return Ok(Ok((place, Some(here))));
    }
    let base = of_issuer.as_ref().map_or_else(|| local_part(email.as_deref(), id), ToString::to_string);
    let name: AccountName = free(Some(&base), KIND, &mut taken.people)?;
    let mut notes = Vec::new();
    let email = email.filter(|email| {
        let is_free = taken.emails.insert(email.clone());
        if !is_free {
            notes.push("their e-mail address is another user's here, so they have none".to_owned());
        }
        is_free
    });
    notes.push(format!("`berth recover --user {name}` makes the link that lets them in"));
    if planner.scope.issuer.is_some() {
        notes.pop();
    }
    let role = if planner.scope.account.is_some() { Role::Member } else { Role::Owner };
    let row = PersonRow {
        id: here,
        name: name.to_string(),
        email,
        password_hash: None,
        is_operator: false,
        created_at: at,
    };
    planner.say(Verdict::Create, KIND, told, name.as_str(), Some(place), notes);
    let tenant = planner.tenant(place);
    tenant.people.push(row);
    tenant.members.push((here, role, at));
    identify(planner, place, id, here, of_issuer.as_ref());
    Ok(Ok((place, Some(here))))
}

fn is_member(planner: &Planner<'_>, account: AccountId, user: UserId) -> bool {
    planner.known.members.iter().any(|member| member.account == account && member.user == user)
}

/// Has the issuer's tokens open the account, where they would look for an account of this name.
fn identify(
    planner: &mut Planner<'_>,
    place: usize,
    older: Uuid,
    user: UserId,
    expected: Option<&AccountName>,
) {
    let (Some(issuer), Some(expected)) = (planner.scope.issuer, expected) else { return };
    if planner.known.identities.contains_key(&older) {
        return;
    }
    let name = planner.account(place);
    if planner.scope.account.is_none() && name.as_ref() != Some(expected) {
        let note = format!(
            "the account was imported under another name than `{expected}`, which its tokens look for"
        );
        let (told, shown) = (Some(older.to_string()), older.to_string());
        planner.say(Verdict::Differs, "identity", told, &shown, Some(place), vec![note]);
        return;
    }
    let issuer = issuer.to_owned();
    planner.tenant(place).identities.push((issuer, older.to_string(), user));
}

/// The account of somebody's own, made where it is not here.
fn own_account(
    planner: &mut Planner<'_>,
    here: Option<&AccountRow>,
    id: AccountId,
    (of_issuer, email, user): (Option<&AccountName>, Option<&str>, Uuid),
    at: Timestamp,
    taken: &mut Taken,
) -> Outcome<usize> {
    let place = planner.plan.tenants.len();
    if let Some(row) = here {
        planner.plan.tenants.push(Tenant::new(row.id, row.name.clone()));
        planner.say(
            Verdict::There,
            ACCOUNT,
            Some(row.id.to_string()),
            row.name.as_str(),
            Some(place),
            vec![],
        );
        return Ok(place);
    }
    let base = of_issuer.map_or_else(|| local_part(email, user), ToString::to_string);
    let name: AccountName = free(Some(&base), ACCOUNT, &mut taken.accounts)?;
    let mut tenant = Tenant::new(id, name.clone());
    tenant.new_account = Some(AccountRow { id, name: name.clone(), created_at: at });
    planner.plan.tenants.push(tenant);
    planner.say(Verdict::Create, ACCOUNT, Some(id.to_string()), name.as_str(), Some(place), vec![]);
    Ok(place)
}

/// What is before the `@`, for people; else the beginning of the id.
fn local_part(email: Option<&str>, id: Uuid) -> String {
    let local = email.and_then(|email| email.split('@').next()).filter(|local| !local.is_empty());
    local.map_or_else(|| format!("user-{}", &id.simple().to_string()[..8]), str::to_owned)
}

/// When somebody came: as their row says, else with the first thing that is theirs.
fn since(planner: &Planner<'_>, id: Uuid, user: Option<&OlderUser>) -> Timestamp {
    let older = planner.older;
    let environments = older.environments.iter().filter(|row| row.user == Some(id)).map(|row| row.created_at);
    let agents = older.agents.iter().filter(|row| row.user == Some(id)).map(|row| row.created_at);
    let first = || environments.chain(agents).flatten().min();
    user.and_then(|user| user.created_at).or_else(first).unwrap_or(planner.scope.now)
}
