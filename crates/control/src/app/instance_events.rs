//! What happened to an instance: what people asked for, from the audit, and what became of it, which is written down as it is taken in.

use api::instance_events::{EventKind, InstanceEvent, InstanceEventsQuery};
use domain::ids::InstanceEventId;
use domain::status::InstanceStatus;
use domain::time::Timestamp;
use store::audit::{AuditRow, Wanted};
use store::instance_events::InstanceEventRow;
use store::instances::InstanceRow;
use store::{StoreError, Tx};

use crate::app::audit::page;
use crate::app::{App, Outcome, instances};
use crate::auth::Caller;
use crate::directory::Picture;

/// What happened to an instance, newest first.
///
/// # Errors
/// 404 with the nearest name, 422 with field.
pub(crate) async fn list(
    app: &App,
    caller: &Caller,
    name: &str,
    query: &InstanceEventsQuery,
) -> Outcome<Vec<InstanceEvent>> {
    let limit = page(query.limit)?;
    let row = instances::find(app, caller, name).await?;
    of(app, &row, limit).await
}

/// The same of one that was found already.
///
/// # Errors
/// What the store says.
pub(crate) async fn of(app: &App, row: &InstanceRow, limit: u32) -> Outcome<Vec<InstanceEvent>> {
    let id = row.id.to_string();
    let wanted = Wanted { action: Some("instance."), object: Some(&id), limit, ..Wanted::default() };
    let asked = store::audit::list(&app.store, row.account, &wanted).await?;
    let became = store::instance_events::list(&app.store, row.id, limit).await?;
    let picture = app.directory.picture();
    // Of one instant, what was asked for came first.
    let mut all: Vec<(Timestamp, bool, InstanceEvent)> = asked
        .into_iter()
        .filter(|(line, _)| line.object_id.as_deref() == Some(&id))
        .map(|(line, actor)| (line.at, false, of_audit(&picture, line, actor)))
        .chain(became.into_iter().map(|row| (row.at, true, of_row(row))))
        .collect();
    // Stable, and newest first within each kind: those of one instant stay in their order.
    all.sort_by_key(|(at, became, _)| std::cmp::Reverse((*at, *became)));
    all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(all.into_iter().map(|(_, _, event)| event).collect())
}

fn of_row(row: InstanceEventRow) -> InstanceEvent {
    let InstanceEventRow { at, kind, status, message, .. } = row;
    InstanceEvent { at, kind, status, action: None, by: None, message }
}

fn of_audit(picture: &Picture, line: AuditRow, actor_name: Option<String>) -> InstanceEvent {
    let environment = |key: &str| {
        let id = line.detail[key].as_str()?.parse().ok()?;
        picture.environment(id).map(|found| found.name.to_string())
    };
    let message = match line.action.as_str() {
        "instance.move" => match (environment("from"), environment("to")) {
            (Some(from), Some(to)) => Some(format!("from `{from}` to `{to}`")),
            (None, Some(to)) => Some(format!("to `{to}`")),
            _ => None,
        },
        "instance.change" => line.detail["changed"].as_array().map(|changed| {
            let fields: Vec<&str> = changed.iter().filter_map(serde_json::Value::as_str).collect();
            fields.join(", ")
        }),
        "instance.rollback" => line.detail["to"].as_u64().map(|number| format!("to change {number}")),
        "instance.deploy" => {
            let package = line.detail["package"].as_str();
            package.map(|package| match environment("environment") {
                Some(name) => format!("{package} in `{name}`"),
                None => package.to_owned(),
            })
        }
        _ => None,
    };
    InstanceEvent {
        at: line.at,
        kind: EventKind::Asked,
        status: None,
        action: Some(line.action),
        by: Some(actor_name.unwrap_or(line.actor)),
        message,
    }
}

/// Writes down what became of an instance, in the transaction that took it in. `before` is absent where it was not known.
///
/// # Errors
/// What the store says.
pub(crate) async fn note(
    tx: &mut Tx,
    before: Option<&InstanceRow>,
    after: &InstanceRow,
    at: Timestamp,
) -> Result<(), StoreError> {
    for (kind, status, message) in happened(before, after) {
        let id = InstanceEventId::generate();
        let row = InstanceEventRow { id, instance: after.id, at, kind, status, message };
        store::instance_events::append(tx, &row).await?;
    }
    Ok(())
}

type Happened = (EventKind, Option<InstanceStatus>, Option<String>);

/// What is different, in the order in which it came about.
fn happened(before: Option<&InstanceRow>, after: &InstanceRow) -> Vec<Happened> {
    let mut all = Vec::new();
    let known = |row: &InstanceRow| (row.version.clone(), row.digest.clone());
    let what_runs = known(after);
    if what_runs != (None, None) && before.map(known).as_ref() != Some(&what_runs) {
        let text = match what_runs {
            (Some(version), Some(digest)) => format!("version {version} ({digest})"),
            (Some(version), None) => format!("version {version}"),
            (None, digest) => digest.unwrap_or_default(),
        };
        all.push((EventKind::Installed, None, Some(text)));
    }
    let restarts = |row: &InstanceRow| row.report.as_ref().map_or(0, |report| report.restarts);
    // It counts from the start of its shim, so fewer means that this was started anew.
    if let Some(before) = before.map(restarts).filter(|before| *before < restarts(after)) {
        let more = restarts(after) - before;
        let times = if more == 1 { String::new() } else { format!(" {more} times") };
        let text = format!("its server ended by itself and was started again{times}");
        all.push((EventKind::Restarted, None, Some(text)));
    }
    let said = |row: &InstanceRow| (row.status, row.message.clone());
    let is_new = match before {
        Some(before) => {
            before.status != after.status || (after.message.is_some() && said(before) != said(after))
        }
        None => true,
    };
    if is_new {
        all.push((EventKind::Status, Some(after.status), after.message.clone()));
    }
    all
}

#[cfg(test)]
mod tests {
    use domain::ids::{AccountId, CatalogEntryId, EnvironmentId, InstanceId};
    use domain::spec::{DesiredState, Launch, Limits};
    use store::instances::{Moving, SpecColumn};

    use super::*;

    fn row() -> InstanceRow {
        InstanceRow {
            id: InstanceId::generate(),
            account: AccountId::generate(),
            environment: EnvironmentId::generate(),
            catalog_entry: CatalogEntryId::GENERIC_MCP,
            name: "a".parse().unwrap(),
            instance_name_on_toolbox: "a".to_owned(),
            desired: DesiredState::Running,
            generation: 1,
            restarts_asked: 0,
            observed_generation: 1,
            status: InstanceStatus::Running,
            message: None,
            spec: SpecColumn {
                package: "npm:a@1.2".parse().unwrap(),
                launch: Launch::default(),
                env: std::collections::BTreeMap::new(),
                limits: Limits::default(),
                moving: Moving::default(),
                candidate_of: None,
            },
            settings: std::collections::BTreeMap::new(),
            secret_names: Vec::new(),
            secrets_sealed: None,
            version: None,
            digest: None,
            report: None,
            last_heartbeat_from_dtma: None,
            deleting: false,
            created_at: Timestamp(1),
            updated_at: Timestamp(1),
        }
    }

    #[test]
    fn what_is_different_is_an_event() {
        use InstanceStatus::{ErrorRuntime, Installing, Running, Starting};
        #[track_caller]
        fn check(
            before: Option<(InstanceStatus, &str, u64, &str)>,
            after: (InstanceStatus, &str, u64, &str),
            expected: &[&str],
        ) {
            let row = |(status, message, restarts, version): (InstanceStatus, &str, u64, &str)| {
                let mut row = row();
                row.status = status;
                row.message = (!message.is_empty()).then(|| message.to_owned());
                row.version = (!version.is_empty()).then(|| version.to_owned());
                let report = serde_json::json!({
                    "id": row.id, "generation": 1, "status": status, "restarts": restarts, "since": 1
                });
                row.report = Some(serde_json::from_value(report).unwrap());
                row
            };
            let (before, after) = (before.map(row), row(after));
            let found = happened(before.as_ref(), &after);
            let words: Vec<String> = found
                .iter()
                .map(|(kind, status, message)| {
                    let status = status.map(|status| format!(" {status}")).unwrap_or_default();
                    format!("{}{status} {}", kind.word(), message.as_deref().unwrap_or("-"))
                })
                .collect();
            assert_eq!(words, expected);
        }
        check(None, (Installing, "", 0, ""), &["status installing -"]);
        check(Some((Installing, "", 0, "")), (Installing, "", 0, ""), &[]);
        check(
            Some((Installing, "", 0, "")),
            (Starting, "", 0, "1.2"),
            &["installed version 1.2", "status starting -"],
        );
        check(Some((Starting, "", 0, "1.2")), (Running, "", 0, "1.2"), &["status running -"]);
        check(
            Some((Running, "", 0, "1.2")),
            (ErrorRuntime, "it ended", 0, "1.2"),
            &["status error_runtime it ended"],
        );
        check(
            Some((ErrorRuntime, "it ended", 0, "1.2")),
            (ErrorRuntime, "it ended again", 3, "1.2"),
            &[
                "restarted its server ended by itself and was started again 3 times",
                "status error_runtime it ended again",
            ],
        );
        check(Some((ErrorRuntime, "it ended", 3, "1.2")), (Running, "", 0, "1.2"), &["status running -"]);
        check(
            Some((Running, "", 0, "")),
            (Running, "", 1, ""),
            &["restarted its server ended by itself and was started again"],
        );
        // That a message is gone is no news where the state is the same.
        check(Some((Running, "it asks for a person", 0, "")), (Running, "", 0, ""), &[]);
    }
}
