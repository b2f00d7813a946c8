//! People who come with tokens of an issuer that the operator named: each is a user by issuer and subject, made when they first come.

use api::users::Role;
use domain::ids::{AccountId, UserId};
use domain::names::{AccountName, NameError, slug};
use domain::time::Timestamp;
use serde_json::json;
use store::accounts::{AccountRow, MemberRow};
use store::people::PersonRow;
use store::{Store, StoreError, Tx};

use crate::app::audit::{self, Act};
use crate::app::{Outcome, Problem};
use crate::auth::issuers::{Foreign, Issuer, IssuerAccount};
use crate::auth::token;

/// The longest part of an e-mail address in a name, in characters.
const MAX_LOCAL: usize = 24;

/// What is known of somebody: the account that their token opens, its name, and who they are in it.
pub(crate) struct Known {
    pub(crate) member: MemberRow,
    pub(crate) account_name: AccountName,
}

/// Finds somebody, or makes them a user. `None` when an admin took them out of the account.
///
/// # Errors
/// What the store says; [`Problem::Refused`] when the account that the operator named is not there.
pub(crate) async fn find_or_make(
    store: &Store,
    issuer: &Issuer,
    who: &Foreign,
    at: Timestamp,
) -> Outcome<Option<Known>> {
    let name = name_of(&issuer.issuer, who)?;
    let account_name = match &issuer.account {
        IssuerAccount::One(account, _) => account.clone(),
        IssuerAccount::Own => name.clone(),
    };
    // Of two requests that come at once with a first token, one makes the user and the other finds it.
    for _ in 0..2 {
        if let Some(user) = store::identities::user_of(store, &issuer.issuer, &who.subject).await? {
            return found(store, user, &account_name).await;
        }
        match make(store, issuer, who, &name, at).await {
            Err(Problem::Refused(detail)) if detail.code == api::errors::ErrorCode::Conflict => {}
            other => other?,
        }
    }
    Ok(None)
}

async fn found(store: &Store, user: UserId, account_name: &AccountName) -> Outcome<Option<Known>> {
    let Some(person) = store::people::by_id(store, user).await? else { return Ok(None) };
    let memberships = store::people::memberships(store, user).await?;
    let of = memberships.into_iter().find(|of| of.account_name == *account_name);
    Ok(of.map(|of| Known {
        member: MemberRow { account: of.account, user, user_name: person.name, role: of.role },
        account_name: of.account_name,
    }))
}

async fn make(
    store: &Store,
    issuer: &Issuer,
    who: &Foreign,
    name: &AccountName,
    at: Timestamp,
) -> Outcome<()> {
    let one = match &issuer.account {
        IssuerAccount::One(account, role) => {
            let row = store::accounts::account_by_name(store, account).await?;
            let row = row.ok_or_else(|| Problem::not_found("account", account.as_str()))?;
            Some((row.id, *role))
        }
        IssuerAccount::Own => None,
    };
    let person = PersonRow {
        id: UserId::generate(),
        name: name.to_string(),
        email: None,
        password_hash: None,
        is_operator: false,
        created_at: at,
    };
    let mut tx = store.begin().await?;
    store::people::insert(&mut tx, &person).await?;
    let (account, role) = match one {
        Some(one) => one,
        None => (own_account(&mut tx, name, at).await?, Role::Owner),
    };
    store::accounts::add_member(&mut tx, account, person.id, role, at).await?;
    if !store::identities::keep(&mut tx, &issuer.issuer, &who.subject, person.id, at).await? {
        // Somebody else's by now: nothing is committed.
        return Err(StoreError::Taken { field: "subject", value: who.subject.clone() }.into());
    }
    let detail = json!({ "issuer": issuer.issuer, "subject": who.subject, "email": who.email });
    let act =
        Act { action: "user.create", kind: "user", id: person.id.to_string(), name: &person.name, detail };
    audit::note(&mut tx, account, format!("user:{}", person.id), at, act).await?;
    Ok(tx.commit().await?)
}

async fn own_account(tx: &mut Tx, name: &AccountName, at: Timestamp) -> Outcome<AccountId> {
    let row = AccountRow { id: AccountId::generate(), name: name.clone(), created_at: at };
    store::accounts::insert(tx, &row).await?;
    Ok(row.id)
}

/// A name that nobody else has: what is before the `@`, for people, and a hash of issuer and subject, so that it is always the same.
pub(crate) fn name_of(issuer: &str, who: &Foreign) -> Outcome<AccountName> {
    let hash = token::hash_text(&format!("{issuer} {}", who.subject));
    let local = who.email.as_deref().and_then(|email| email.split('@').next()).unwrap_or("user");
    let local: String = slug(local).chars().take(MAX_LOCAL).collect();
    let name = format!("{}-{}", local.trim_end_matches('-'), &hash[..12]);
    name.parse().map_err(|error: NameError| Problem::Failed(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let who = |subject: &str, email: Option<&str>| Foreign {
            subject: subject.to_owned(),
            email: email.map(str::to_owned),
            expires_at: Timestamp(0),
        };
        let name = |subject: &str, email: Option<&str>| {
            name_of("https://i", &who(subject, email)).unwrap().to_string()
        };
        assert_eq!(name("1", Some("Ada.L@x.example")), name("1", Some("Ada.L@x.example")));
        assert_ne!(name("1", None), name("2", None));
        assert!(
            name("1", Some("Ada.L@x.example")).starts_with("ada-l-"),
            "{}",
            name("1", Some("Ada.L@x.example"))
        );
        for odd in ["ä@x", "@x", "", "-@x", &format!("{}@x", "a-".repeat(100))] {
            assert!(name("1", Some(odd)).len() <= 40, "{odd}");
        }
    }
}
