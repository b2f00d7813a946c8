//! What members of toolbelts have: what people call it, whether it is shown, and which of its definitions they approve.

use std::collections::HashMap;

use api::errors::ErrorCode;
use api::toolbelts::{ApproveRequest, ChangeFeatureRequest, Feature, FeatureDifference, FeatureQuery};
use domain::ids::ToolbeltItemId;
use domain::names::InstanceName;
use domain::toolbelts::Kind;
use serde_json::json;
use store::StoreError;
use store::toolbelts::{FeatureChange, FeatureRow, ToolbeltRow};

use super::{act, find, find_to_change, member};
use crate::app::deployment::nearest;
use crate::app::{App, Outcome, Problem, audit};
use crate::auth::Caller;
use crate::directory::now;

/// The longest name of a tool, in characters (MCP, Tools: "Tool Names").
const MAX_TOOL: usize = 128;
/// The longest name of a prompt, in characters.
const MAX_PROMPT: usize = 256;
/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 10_000;
/// The tools of a toolbelt that is searched; no member's tool is called so.
const OWN: [&str; 2] = ["search_tools", "call_tool"];

/// What the members of a toolbelt have, by the toolbelt's names.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn features(
    app: &App,
    caller: &Caller,
    name: &str,
    query: &FeatureQuery,
) -> Outcome<Vec<Feature>> {
    let belt = find(app, caller, name).await?;
    let only = match &query.instance {
        Some(instance) => Some(member(app, &belt, instance).await?.id),
        None => None,
    };
    app.belts.look(caller, belt.id, false).await;
    let names = instances_of(app, &belt).await?;
    let mut rows = store::toolbelts::features(&app.store, belt.id).await?;
    rows.retain(|row| {
        only.is_none_or(|item| row.item == item)
            && query.kind.is_none_or(|kind| row.kind == kind)
            && (!query.changed || row.seen_hash.is_some())
    });
    rows.sort_by(|a, b| (a.kind.word(), &a.shown_name).cmp(&(b.kind.word(), &b.shown_name)));
    Ok(rows.into_iter().filter_map(|row| render(row, &names)).collect())
}

/// Changes what a toolbelt calls something, how it describes it, and whether it shows it.
///
/// # Errors
/// 403 as for every change; 404 with the nearest name; 409 that says whose the other name is; 422 with field.
pub(crate) async fn set_feature(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &ChangeFeatureRequest,
) -> Outcome<Feature> {
    let belt = find_to_change(app, caller, name).await?;
    let row = one(app, &belt, request.kind, &request.name).await?;
    let names = instances_of(app, &belt).await?;
    let change = FeatureChange {
        shown_name: match &request.rename {
            Some(rename) => Some(shown_name(request.kind, rename)?),
            None => None,
        },
        description: match &request.description {
            Some(text) => Some(description(text)?),
            None => None,
        },
        is_on: request.is_on,
    };
    let mut tx = app.store.begin().await?;
    let changed = match store::toolbelts::set_feature(&mut tx, &row, &change).await {
        Err(StoreError::Taken { value, .. }) => {
            drop(tx);
            return Err(clash(app, &belt, request.kind, &value, &names).await?);
        }
        other => other?,
    };
    let detail = json!({
        "instance": names.get(&row.item),
        "kind": row.kind,
        "own_name": row.name,
        "from": row.shown_name,
        "to": changed.shown_name,
        "is_on": changed.is_on,
        "described": changed.description.is_some(),
    });
    let act = act("toolbelt.set_feature", &belt, detail);
    audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
    tx.commit().await?;
    app.belt_changed(&belt).await?;
    render(changed, &names).ok_or_else(|| gone(&row))
}

/// Approves what members have now in the place of what was approved: one definition, or all of a member. What was approved.
///
/// # Errors
/// 403 as for every change; 404 with the nearest name; 409 when there is nothing to approve, or it is another definition by now; 422 with
/// field.
pub(crate) async fn approve(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &ApproveRequest,
) -> Outcome<Vec<Feature>> {
    let belt = find_to_change(app, caller, name).await?;
    let names = instances_of(app, &belt).await?;
    let mut tx;
    let approved = match (&request.name, &request.instance) {
        (Some(feature), None) => {
            let row = one(app, &belt, request.kind, feature).await?;
            let Some(seen) = &row.seen_hash else {
                let message = format!("`{feature}` is as it was approved: there is nothing to approve");
                return Err(Problem::refused(ErrorCode::Conflict, message).field("name"));
            };
            tx = app.store.begin().await?;
            let hash = request.hash.as_ref().unwrap_or(seen);
            let approved =
                store::toolbelts::approve(&mut tx, &row, hash).await.map_err(|error| match error {
                    StoreError::NotFound { .. } => {
                        let message = format!("`{feature}` has changed again since you looked at it");
                        Problem::refused(ErrorCode::Conflict, message).field("hash").hint(format!(
                            "look at it once more: `berth toolbelt show {} --changed`",
                            belt.name
                        ))
                    }
                    error => error.into(),
                })?;
            vec![approved]
        }
        (None, Some(instance)) if request.hash.is_none() => {
            let item = member(app, &belt, instance).await?;
            tx = app.store.begin().await?;
            store::toolbelts::approve_all(&mut tx, belt.id, item.id).await?
        }
        _ => {
            return Err(Problem::invalid(
                "name",
                "say what is approved: `name`, with a `hash` or not, or `instance`",
            ));
        }
    };
    for row in &approved {
        let detail = json!({
            "instance": names.get(&row.item),
            "kind": row.kind,
            "name": row.shown_name,
            "hash": row.approved_hash,
        });
        let act = act("toolbelt.approve", &belt, detail);
        audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
    }
    tx.commit().await?;
    if !approved.is_empty() {
        app.belt_changed(&belt).await?;
    }
    Ok(approved.into_iter().filter_map(|row| render(row, &names)).collect())
}

/// What a toolbelt calls so.
async fn one(app: &App, belt: &ToolbeltRow, kind: Kind, name: &str) -> Outcome<FeatureRow> {
    if let Some(row) = store::toolbelts::feature_by_shown_name(&app.store, belt.id, kind, name).await? {
        return Ok(row);
    }
    let mut rows = store::toolbelts::features(&app.store, belt.id).await?;
    rows.retain(|row| row.kind == kind);
    let message = format!("the toolbelt `{}` has no {kind} `{name}`", belt.name);
    let problem = Problem::refused(ErrorCode::NotFound, message).field("name");
    Err(match nearest(name, rows.iter().map(|row| row.shown_name.as_str())) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint(format!("`berth toolbelt show {} --features` shows what it has", belt.name)),
    })
}

/// 409 that says whose the name is.
async fn clash(
    app: &App,
    belt: &ToolbeltRow,
    kind: Kind,
    name: &str,
    names: &HashMap<ToolbeltItemId, InstanceName>,
) -> Outcome<Problem> {
    let holder = store::toolbelts::feature_by_shown_name(&app.store, belt.id, kind, name).await?;
    let whose = match holder.as_ref().and_then(|row| Some((names.get(&row.item)?, row))) {
        Some((instance, row)) => format!("`{name}` is the {kind} `{}` of `{instance}` already", row.name),
        None => format!("`{name}` is another {kind} already"),
    };
    Ok(Problem::refused(ErrorCode::Conflict, whose)
        .field("rename")
        .hint("choose another name, or rename that one first"))
}

fn shown_name(kind: Kind, text: &str) -> Outcome<String> {
    let length = text.chars().count();
    match kind {
        Kind::Tool => {
            let is_one = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
            if !(1..=MAX_TOOL).contains(&length) || !text.chars().all(is_one) {
                let message =
                    format!("a tool's name has 1 to {MAX_TOOL} letters, digits, `_`, `-`, `.` and `/`");
                return Err(Problem::invalid("rename", message));
            }
            if OWN.contains(&text) {
                let message = format!("`{text}` is what a toolbelt that is searched calls a tool of its own");
                return Err(Problem::invalid("rename", message));
            }
        }
        Kind::Prompt => {
            if !(1..=MAX_PROMPT).contains(&length) || text.chars().any(char::is_control) {
                let message = format!(
                    "a prompt's name has 1 to {MAX_PROMPT} characters, none of them control characters"
                );
                return Err(Problem::invalid("rename", message));
            }
        }
        Kind::Resource | Kind::Template => {
            let message = format!("a {kind}'s address is its own, so it is not renamed");
            return Err(
                Problem::invalid("rename", message).hint("hide it with `is_on`, or describe it otherwise")
            );
        }
    }
    Ok(text.to_owned())
}

/// None for an empty text.
fn description(text: &str) -> Outcome<Option<String>> {
    if MAX_DESCRIPTION < text.chars().count() || text.contains('\0') {
        let message = format!("a description has at most {MAX_DESCRIPTION} characters, and no NUL");
        return Err(Problem::invalid("description", message));
    }
    Ok((!text.trim().is_empty()).then(|| text.to_owned()))
}

async fn instances_of(app: &App, belt: &ToolbeltRow) -> Outcome<HashMap<ToolbeltItemId, InstanceName>> {
    let items = store::toolbelts::items(&app.store, belt.id).await?;
    Ok(items.into_iter().map(|item| (item.id, item.instance_name)).collect())
}

fn gone(row: &FeatureRow) -> Problem {
    Problem::refused(ErrorCode::NotFound, format!("the instance that has `{}` is being removed", row.name))
}

/// `None` for a member that went meanwhile.
fn render(row: FeatureRow, names: &HashMap<ToolbeltItemId, InstanceName>) -> Option<Feature> {
    let instance = names.get(&row.item)?.clone();
    let own_description = serde_json::from_str::<Described>(&row.approved_json).ok();
    let change = match (row.seen_hash, row.seen_json) {
        (Some(hash), Some(seen)) => {
            Some(FeatureDifference { hash, approved: row.approved_json, seen, seen_at: row.seen_at })
        }
        _ => None,
    };
    Some(Feature {
        kind: row.kind,
        name: row.shown_name,
        instance,
        own_name: row.name,
        description: row.description,
        own_description: own_description.and_then(|described| described.description),
        is_on: row.is_on,
        change,
        first_seen_at: row.first_seen_at,
    })
}

/// The part of a definition that people read.
#[derive(serde::Deserialize)]
struct Described {
    description: Option<String>,
}
