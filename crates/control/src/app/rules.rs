//! Rules: who may use what of an account's instances. They are kept here, compiled where a caller is made, and held to in the shims.

use std::collections::{BTreeMap, BTreeSet};

use api::errors::ErrorCode;
use api::rules::{Rule, RuleRequest, Subject, SubjectName};
use api::users::Role;
use domain::ids::{AccountId, RuleId};
use domain::names::InstanceName;
use serde_json::json;
use store::oauth::clients::{ClientKind, ClientRow};
use store::rules::RuleRow;

use crate::app::audit::{self, Act};
use crate::app::deployment::nearest;
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;
use crate::directory::now;

/// The most rules of an account: all of them are looked through when a caller is made.
const MAX: usize = 1000;
/// What the rules that meet in one caller may take, in bytes: they go along with each call as a header, of which a tunnel takes
/// 16 KiB together with all others (HTTP/2's default in `hyper`).
const MAX_TOGETHER: usize = 6 << 10;

/// The account's rules, in the order in which they were made.
///
/// # Errors
/// 403 below an admin.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Rule>> {
    caller.require(Role::Admin)?;
    let rows = store::rules::list(&app.store, caller.account).await?;
    let known = Known::read(app, caller.account).await?;
    Ok(rows.into_iter().map(|row| known.render(row)).collect())
}

/// Makes a rule. It holds at once for this process, and within seconds for others.
///
/// # Errors
/// 403 below an admin, 422 with field.
pub(crate) async fn add(app: &App, caller: &Caller, request: &RuleRequest) -> Outcome<Rule> {
    caller.require(Role::Admin)?;
    let clause = request.clause();
    clause.check().map_err(|error| Problem::invalid(error.field, error))?;
    let row = RuleRow {
        id: RuleId::generate(),
        account: caller.account,
        subject: subject(app, caller.account, &request.subject).await?,
        clause,
        created_by: caller.actor(),
        created_at: now(),
    };
    let mut rows = store::rules::list(&app.store, caller.account).await?;
    if MAX <= rows.len() {
        let message = format!("an account has at most {MAX} rules");
        return Err(
            Problem::refused(ErrorCode::Conflict, message).hint("remove some that are not needed any more")
        );
    }
    rows.push(row.clone());
    if MAX_TOGETHER < together(&rows) {
        let message = format!("the rules that meet in one caller have at most {MAX_TOGETHER} bytes");
        return Err(Problem::invalid("pattern", message)
            .hint("say more with one pattern, or remove rules that are not needed any more"));
    }
    let mut tx = app.store.begin().await?;
    store::rules::insert(&mut tx, &row).await?;
    note(&mut tx, caller, "rule.add", &row).await?;
    tx.commit().await?;
    app.callers_changed().await?;
    Ok(Known::read(app, caller.account).await?.render(row))
}

/// Removes a rule.
///
/// # Errors
/// 403 below an admin, 404.
pub(crate) async fn remove(app: &App, caller: &Caller, id: &str) -> Outcome<()> {
    caller.require(Role::Admin)?;
    let unknown =
        || Problem::not_found("rule", id).hint("`berth rule list` shows those there are, with their ids");
    let parsed: RuleId = id.parse().map_err(|_| unknown())?;
    let mut tx = app.store.begin().await?;
    let row = match store::rules::remove(&mut tx, caller.account, parsed).await {
        Err(store::StoreError::NotFound { .. }) => return Err(unknown()),
        other => other?,
    };
    note(&mut tx, caller, "rule.remove", &row).await?;
    tx.commit().await?;
    Ok(app.callers_changed().await?)
}

async fn note(tx: &mut store::Tx, caller: &Caller, action: &str, row: &RuleRow) -> Outcome<()> {
    let name = row.clause.to_string();
    let detail = json!({ "subject": row.subject, "rule": row.clause });
    let act = Act { action, kind: "rule", id: row.id.to_string(), name: &name, detail };
    audit::note(tx, caller.account, caller.actor(), now(), act).await
}

/// Whom a rule is for, who must be known to the account.
async fn subject(app: &App, account: AccountId, asked: &SubjectName) -> Outcome<Subject> {
    Ok(match asked {
        SubjectName::Everyone => Subject::Everyone,
        SubjectName::Role(role) => Subject::Role(*role),
        SubjectName::User(name) => {
            if let Some(member) = store::members::by_name(&app.store, account, name).await? {
                return Ok(Subject::User(member.user));
            }
            let members = store::members::list(&app.store, account).await?;
            let problem = Problem::invalid("subject.user", format!("nobody in this account is `{name}`"));
            return Err(match nearest(name, members.iter().map(|member| member.name.as_str())) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint("`berth member list` shows who is in it"),
            });
        }
        SubjectName::Token(text) => {
            let unknown = |why: &str| {
                Problem::invalid("subject.token", format!("`{text}` is {why}"))
                    .hint("`berth token list` shows those there are, with their ids")
            };
            let none = "the id of no API token in this account";
            let id = text.parse().map_err(|_| unknown(none))?;
            let row = store::tokens::by_id(&app.store, account, id).await?.ok_or_else(|| unknown(none))?;
            if row.revoked_at.is_some() {
                return Err(unknown("a token that was revoked"));
            }
            Subject::Token(row.id)
        }
        SubjectName::Client(id) => {
            let row = store::oauth::clients::by_id(&app.store, id).await?;
            if !row.is_some_and(|row| is_known(account, &row)) {
                let message = format!("`{id}` is the id of no OAuth client that is known here");
                return Err(Problem::invalid("subject.client", message)
                    .hint("`berth client list` shows those that were registered by hand, and `berth grant list` others"));
            }
            Subject::Client(id.clone())
        }
    })
}

/// What another account registered is nobody's business; what registered itself is known to the whole installation.
fn is_known(account: AccountId, client: &ClientRow) -> bool {
    client.kind != ClientKind::Registered || client.owner.is_some_and(|(owner, _)| owner == account)
}

/// An upper bound of what the rules that meet in one caller, for one instance, take as JSON, in bytes.
fn together(rows: &[RuleRow]) -> usize {
    // Beside the pattern: quotes, a comma, and what a hint is written with.
    let size = |row: &RuleRow| row.clause.pattern.escape_default().count() + 40;
    let named: BTreeSet<&InstanceName> = rows.iter().filter_map(|row| row.clause.instance.as_ref()).collect();
    let of_instance = |instance: Option<&InstanceName>| {
        // Of each kind of subject one meets the others: that with the most.
        let mut subjects: BTreeMap<(u8, String), usize> = BTreeMap::new();
        for row in rows {
            if row.clause.instance.is_none() || row.clause.instance.as_ref() == instance {
                *subjects.entry(key(&row.subject)).or_default() += size(row);
            }
        }
        let mut largest: BTreeMap<u8, usize> = BTreeMap::new();
        for ((kind, _), size) in subjects {
            let most = largest.entry(kind).or_default();
            *most = size.max(*most);
        }
        largest.values().sum()
    };
    named.into_iter().map(Some).chain([None]).map(of_instance).max().unwrap_or_default()
}

fn key(subject: &Subject) -> (u8, String) {
    match subject {
        Subject::Everyone => (0, String::new()),
        Subject::Role(role) => (1, format!("{role:?}")),
        Subject::User(id) => (2, id.to_string()),
        Subject::Token(id) => (3, id.to_string()),
        Subject::Client(id) => (4, id.clone()),
    }
}

/// The names of whom rules are for.
struct Known {
    members: Vec<store::members::MemberRow>,
    tokens: Vec<store::tokens::TokenRow>,
}

impl Known {
    async fn read(app: &App, account: AccountId) -> Outcome<Self> {
        Ok(Self {
            members: store::members::list(&app.store, account).await?,
            tokens: store::tokens::list(&app.store, account, None).await?,
        })
    }

    fn render(&self, row: RuleRow) -> Rule {
        let user = |id: &str| {
            let member = self.members.iter().find(|member| member.user.to_string() == id)?;
            Some(member.name.clone())
        };
        let subject_name = match &row.subject {
            Subject::Everyone | Subject::Role(_) | Subject::Client(_) => None,
            Subject::User(id) => user(&id.to_string()),
            Subject::Token(id) => {
                self.tokens.iter().find(|token| token.id == *id).map(|token| token.name.clone())
            }
        };
        let created_by_name = row.created_by.strip_prefix("user:").and_then(user);
        let clause = row.clause;
        Rule {
            id: row.id,
            effect: clause.effect,
            subject: row.subject,
            subject_name,
            instance: clause.instance,
            what: clause.what,
            pattern: clause.pattern,
            hint: clause.hint,
            created_by: row.created_by,
            created_by_name,
            created_at: row.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::UserId;
    use domain::rules::{Clause, Effect, What};
    use domain::time::Timestamp;

    use super::*;

    #[test]
    fn what_meets_in_one_caller() {
        let (one, other) = (Subject::User(UserId::generate()), Subject::User(UserId::generate()));
        let check = |rows: &[(&Subject, Option<&str>, usize)], expected: usize| {
            let row = |(subject, instance, len): &(&Subject, Option<&str>, usize)| RuleRow {
                id: RuleId::generate(),
                account: AccountId::generate(),
                subject: (*subject).clone(),
                clause: Clause {
                    effect: Effect::Deny,
                    instance: instance.map(|name| name.parse().unwrap()),
                    what: What::Tool,
                    pattern: "x".repeat(*len),
                    hint: None,
                },
                created_by: "user:1".to_owned(),
                created_at: Timestamp(0),
            };
            let rows: Vec<RuleRow> = rows.iter().map(row).collect();
            assert_eq!(together(&rows), expected);
        };
        check(&[], 0);
        check(&[(&one, None, 60), (&other, None, 10)], 100);
        check(&[(&one, None, 60), (&one, Some("a"), 60), (&one, Some("b"), 160)], 300);
        check(
            &[(&Subject::Everyone, None, 60), (&Subject::Role(Role::Viewer), None, 60), (&one, None, 60)],
            300,
        );
    }
}
