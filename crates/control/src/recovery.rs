//! The way back in for whoever may read the data directory: a one-time link, and perhaps a token, without either.

use domain::secret::Secret;
use domain::time::Timestamp;
use serde_json::json;
use store::Store;
use store::people::PersonRow;

use crate::app::audit::{self, Act};
use crate::app::{Outcome, Problem, sign_in, tokens};
use crate::config::Config;
use crate::directory::now;
use crate::setup::{StartError, open};

/// Who acts where nobody has shown who they are.
const ACTOR: &str = "system:recovery";

/// What lets somebody in again.
#[derive(Debug)]
pub struct Recovered {
    /// The user's name.
    pub user_name: String,
    /// The path of the link that signs them in, once.
    pub link_path: Secret,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// A new API token of theirs, when it was asked for.
    pub api_token: Option<Secret>,
}

/// Makes a one-time link that signs `user` in: without a name, the first who looks after the installation. May run beside a running
/// control plane. Whoever can open the database may do so. `command` is the command line that does so, for the audit.
///
/// # Errors
/// Any [`StartError`]; [`StartError::Recovery`] when there is no such user.
pub async fn recover(
    config: &Config,
    command: &str,
    user: Option<&str>,
    with_token: bool,
) -> Result<Recovered, StartError> {
    let (store, _) = open(config).await?;
    let made = make(&store, command, user, with_token).await.map_err(StartError::Recovery);
    store.close().await;
    made
}

async fn make(store: &Store, command: &str, user: Option<&str>, with_token: bool) -> Outcome<Recovered> {
    let person = match user {
        Some(name) => store::people::by_name(store, name).await?.ok_or_else(|| unknown(name))?,
        None => first_operator(store).await?,
    };
    let memberships = store::people::memberships(store, person.id).await?;
    let most = memberships.iter().max_by_key(|membership| membership.role);
    let at = now();
    let mut tx = store.begin().await?;
    let (link, expires_at) = sign_in::issue_link(&mut tx, person.id).await?;
    let mut api_token = None;
    if with_token {
        let most = most.ok_or_else(|| {
            Problem::invalid(
                "user",
                format!("`{}` is in no account, so there is nothing for a token", person.name),
            )
        })?;
        let named = (command, None);
        let made =
            tokens::insert(&mut tx, most.account, person.id, named, None, at, ACTOR.to_owned()).await?;
        api_token = Some(made.1);
    }
    for membership in &memberships {
        let (id, name) = (person.id.to_string(), person.name.as_str());
        let detail = json!({ "by": command, "link_until": expires_at });
        let act = Act { action: "user.recover", kind: "user", id, name, detail };
        audit::note(&mut tx, membership.account, ACTOR.to_owned(), at, act).await?;
    }
    tx.commit().await?;
    Ok(Recovered { user_name: person.name, link_path: sign_in::link_path(&link), expires_at, api_token })
}

async fn first_operator(store: &Store) -> Outcome<PersonRow> {
    store::people::operators(store).await?.into_iter().next().ok_or_else(|| {
        Problem::invalid("user", "nobody looks after this installation yet")
            .hint("start it with `berth up` first")
    })
}

fn unknown(name: &str) -> Problem {
    Problem::invalid("user", format!("there is no user `{name}` in this installation"))
        .hint("`berth member list` shows those of an account; without `--user` it is the first one")
}
