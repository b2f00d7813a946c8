//! What callers bring for themselves to an instance whose callers each bring their own: given by each, shown to nobody, and handed to the
//! host of the instance when they call.

use std::collections::BTreeMap;

use api::own_values::{OwnValue, OwnValues, OwnValuesRequest};
use api::upstreams::{TokenOutcome, TokenWanted};
use domain::ids::{AgentId, InstanceId, OwnValuesId, UserId};
use domain::package::Package;
use domain::scopes::Scope;
use domain::secret::{Secret, Secrets};
use http::header::AUTHORIZATION;
use serde_json::json;
use store::instances::InstanceRow;
use store::own_values::OwnValuesRow;

use crate::app::audit::{self, Act};
use crate::app::deployment::nearest;
use crate::app::{App, Outcome, Problem, agents, instances, upstreams};
use crate::auth::Caller;
use crate::directory::now;

/// All values of one caller together, in bytes.
const MOST: usize = 64 << 10;

/// What callers of an instance bring, and which of it the caller has given.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn show(app: &App, caller: &Caller, name: &str) -> Outcome<OwnValues> {
    let row = instances::find(app, caller, name).await?;
    let kept = store::own_values::get(&app.store, row.id, caller.user).await?;
    Ok(render(&row.spec.launch.each_caller, kept.as_ref()))
}

/// What of it the caller has not given and is not served without.
///
/// # Errors
/// What the store and the master key say.
pub(crate) async fn owed(app: &App, caller: &Caller, row: &InstanceRow) -> Outcome<Vec<String>> {
    let each = &row.spec.launch.each_caller;
    let kept = store::own_values::get(&app.store, row.id, caller.user).await?;
    let given = kept.map(|kept| kept.names).unwrap_or_default();
    let missing: Vec<&String> =
        each.iter().filter(|(_, variable)| !given.contains(variable)).map(|(name, _)| name).collect();
    if is_authorized(app, row, caller.user, &missing).await? {
        return Ok(Vec::new());
    }
    Ok(missing.into_iter().cloned().collect())
}

/// Whether what is missing is the one header that a person may authorize at the server instead.
fn may_authorize(row: &InstanceRow, missing: &[&String]) -> bool {
    let is_header = |name: &&String| name.eq_ignore_ascii_case(AUTHORIZATION.as_str());
    matches!(row.spec.package, Package::Remote { .. }) && missing.iter().any(is_header)
}

/// Whether what is missing is that header alone, and they did.
async fn is_authorized(app: &App, row: &InstanceRow, user: UserId, missing: &[&String]) -> Outcome<bool> {
    Ok(missing.len() == 1 && may_authorize(row, missing) && upstreams::has_own(app, row, user).await?)
}

/// Keeps values of the caller's own. Whoever may call the instance may, since it is for their own calls; a token that is for calls alone
/// may not, because whoever has it is often somebody else's program.
///
/// # Errors
/// 403, 404, 422 with field.
pub(crate) async fn put(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &OwnValuesRequest,
) -> Outcome<OwnValues> {
    caller.require_scope(&Scope::Deploy)?;
    let row = instances::find(app, caller, name).await?;
    let each = &row.spec.launch.each_caller;
    if each.is_empty() {
        return Err(Problem::invalid(
            "name",
            format!("callers of `{}` bring nothing of their own", row.name),
        )
        .hint("what they bring is named when it is deployed: `berth deploy … --each-caller KEY`"));
    }
    if request.values.is_empty() {
        return Err(
            Problem::invalid("values", "no value is given").hint(format!("give {}", listed(each.keys())))
        );
    }
    let is_remote = matches!(row.spec.package, Package::Remote { .. });
    let present = store::own_values::get(&app.store, row.id, caller.user).await?;
    let mut values = opened(app, present.as_ref())?;
    for (key, value) in &request.values {
        let at = format!("values.{key}");
        let Some(variable) = each.get(key) else {
            let problem = Problem::invalid(at, format!("callers of `{}` bring no `{key}`", row.name));
            return Err(problem.hint(match nearest(key, each.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("they bring {}", listed(each.keys())),
            }));
        };
        check(&at, value, is_remote)?;
        values.insert(variable.clone(), value.clone());
    }
    // What was deployed otherwise meanwhile.
    values.retain(|variable, _| each.values().any(|known| known == variable));
    if MOST < values.iter().map(|(name, value)| name.len() + value.expose().len()).sum() {
        return Err(Problem::invalid("values", format!("all together have at most {} KiB", MOST >> 10)));
    }
    let (id, at) = (OwnValuesId::generate(), now());
    let kept = OwnValuesRow {
        id,
        names: values.keys().cloned().collect(),
        values_sealed: app.keys.seal_all(id.0, &values)?.unwrap_or_default(),
        updated_at: at,
    };
    let mut tx = app.store.begin().await?;
    store::own_values::put(&mut tx, row.id, caller.user, &kept).await?;
    let given: Vec<&String> = request.values.keys().collect();
    let act = act("own_values.set", &row, json!({ "names": given }));
    audit::note(&mut tx, row.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    Ok(render(each, Some(&kept)))
}

/// Forgets the caller's own values.
///
/// # Errors
/// 403, 404.
pub(crate) async fn forget(app: &App, caller: &Caller, name: &str) -> Outcome<()> {
    caller.require_scope(&Scope::Deploy)?;
    let row = instances::find(app, caller, name).await?;
    let mut tx = app.store.begin().await?;
    if store::own_values::forget(&mut tx, row.id, caller.user).await? {
        let act = act("own_values.forget", &row, json!({}));
        audit::note(&mut tx, row.account, caller.actor(), now(), act).await?;
    }
    Ok(tx.commit().await?)
}

/// What the host of an instance starts a caller's process with.
///
/// # Errors
/// What the store and the master key say.
pub(crate) async fn wanted(app: &App, row: &InstanceRow, wanted: &TokenWanted) -> Outcome<TokenOutcome> {
    let each = &row.spec.launch.each_caller;
    if let Some(agent) = wanted.principal.as_deref().and_then(agent_of) {
        return wanted_by_agent(app, row, agent).await;
    }
    let Some(user) = wanted.principal.as_deref().and_then(user_of) else {
        let why =
            format!("`{}` wants what each caller brings, and this caller is nobody who could", row.name);
        return Ok(TokenOutcome::Unset { why });
    };
    let kept = store::own_values::get(&app.store, row.id, user).await?;
    let values = opened(app, kept.as_ref())?;
    let missing: Vec<&String> =
        each.iter().filter(|(_, variable)| !values.contains_key(*variable)).map(|(name, _)| name).collect();
    // What a person authorized at the server takes the place of the header, and is asked for by itself.
    if missing.is_empty() || is_authorized(app, row, user, &missing).await? {
        return Ok(TokenOutcome::Values { values });
    }
    let flags: Vec<String> = missing.iter().map(|name| format!("{name}=@FILE")).collect();
    let otherwise = if may_authorize(row, &missing) {
        format!(", or `berth authorize {}` where it knows OAuth", row.name)
    } else {
        String::new()
    };
    let why = format!(
        "`{}` works with your own {}, which you have not given yet: run `berth secret own {} {}`{otherwise}",
        row.name,
        listed(missing),
        row.name,
        flags.join(" ")
    );
    Ok(TokenOutcome::Unset { why })
}

/// What the host of an instance starts an agent's process with: what its toolbelt's member has, and nothing of a person's.
async fn wanted_by_agent(app: &App, row: &InstanceRow, agent: AgentId) -> Outcome<TokenOutcome> {
    let each = &row.spec.launch.each_caller;
    let mut given = agents::secrets_of_caller(app, agent, row.id).await?;
    let missing: Vec<&String> = each.keys().filter(|name| !given.contains_key(*name)).collect();
    if missing.is_empty() {
        let values = each.iter().filter_map(|(name, variable)| Some((variable.clone(), given.remove(name)?)));
        return Ok(TokenOutcome::Values { values: values.collect() });
    }
    let flags: Vec<String> = missing.iter().map(|name| format!("{name}=@FILE")).collect();
    let why = format!(
        "`{}` works with each caller's own {}, which this agent was not given: run `berth agent credential add AGENT {} {}`",
        row.name,
        listed(missing),
        row.name,
        flags.join(" ")
    );
    Ok(TokenOutcome::Unset { why })
}

/// The agent that the gateway means.
fn agent_of(principal: &str) -> Option<AgentId> {
    principal.strip_prefix("agent:")?.parse().ok()
}

/// The person whom the gateway means.
pub(crate) fn user_of(principal: &str) -> Option<UserId> {
    principal.strip_prefix("user:")?.parse().ok()
}

/// The values of all callers of an instance, agents among them.
///
/// # Errors
/// What the store and the master key say.
pub(crate) async fn of_instance(app: &App, id: InstanceId) -> Outcome<Vec<Secret>> {
    let mut all = Vec::new();
    for row in store::own_values::of_instance(&app.store, id).await? {
        all.extend(opened(app, Some(&row))?.into_values());
    }
    all.extend(agents::known_to(app, id).await?);
    Ok(all)
}

fn opened(app: &App, row: Option<&OwnValuesRow>) -> Outcome<Secrets> {
    let Some(row) = row else { return Ok(Secrets::new()) };
    Ok(app.keys.unseal_all(row.id.0, Some(&row.values_sealed))?)
}

/// Refuses what cannot be a value: of a header, or of a variable.
///
/// # Errors
/// 422.
pub(crate) fn check(at: &str, value: &Secret, is_header: bool) -> Outcome<()> {
    let value = value.expose();
    if value.is_empty() || value.contains('\0') {
        return Err(Problem::invalid(at, "a value is a text without NUL characters"));
    }
    if is_header && value.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err(Problem::invalid(at, "a header's value is one line without control characters"));
    }
    Ok(())
}

fn render(each: &BTreeMap<String, String>, kept: Option<&OwnValuesRow>) -> OwnValues {
    let is_set = |variable: &String| kept.is_some_and(|kept| kept.names.contains(variable));
    let value =
        |(name, variable): (&String, &String)| OwnValue { name: name.clone(), is_set: is_set(variable) };
    OwnValues { values: each.iter().map(value).collect(), updated_at: kept.map(|kept| kept.updated_at) }
}

fn act<'a>(action: &'a str, row: &'a InstanceRow, detail: serde_json::Value) -> Act<'a> {
    Act { action, kind: "instance", id: row.id.to_string(), name: row.name.as_str(), detail }
}

/// Names as a sentence has them.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
