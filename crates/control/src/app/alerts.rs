//! What is or was broken: shown to the account whose it is, and a message that shows whether receivers are reached.

use api::alerts::{Alert, TestedReceiver};
use api::errors::ErrorCode;
use api::users::Role;
use domain::ids::AlertId;
use futures_util::future::join_all;
use serde_json::json;
use store::alerts::ListedAlert;

use crate::app::audit::{self, Act};
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;
use crate::directory::now;
use crate::receivers::Message;

/// So many are shown: open ones first, then the newest.
const LIMIT: u64 = 100;

/// What is broken in the account, and what was lately.
///
/// # Errors
/// What the store says.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Alert>> {
    let found = store::alerts::list(&app.store, caller.account, LIMIT).await?;
    Ok(found.into_iter().map(render).collect())
}

/// Sends every receiver a message that says that it is a test, for an admin, and says what became of it.
///
/// # Errors
/// 403, 409 when there is no receiver.
pub(crate) async fn test(app: &App, caller: &Caller) -> Outcome<Vec<TestedReceiver>> {
    caller.require(Role::Admin)?;
    let receivers = app.receivers.all();
    if receivers.is_empty() {
        return Err(Problem::refused(ErrorCode::Conflict, "nobody is told of alerts").hint(
            "start `berth up` or `berth server` with `--alert-webhook URL`, or with `--alert-email` and `--smtp`",
        ));
    }
    let (id, at) = (AlertId::generate(), now());
    let mut tx = app.store.begin().await?;
    let act = Act {
        action: "alert.test",
        kind: "alert",
        id: id.to_string(),
        name: "test",
        detail: json!({ "receivers": receivers.len() }),
    };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    let message = Message::test(id, &caller.user_name, caller.account_name.as_str(), app.public().url(), at);
    let sent = receivers.iter().map(|receiver| async {
        let trouble = receiver.send(&message, at).await.err();
        TestedReceiver { receiver: receiver.label.clone(), trouble }
    });
    Ok(join_all(sent).await)
}

fn render(found: ListedAlert) -> Alert {
    let row = found.row;
    Alert {
        id: row.id,
        kind: row.kind,
        subject: row.subject_name,
        environment: row.environment_name,
        message: row.message,
        broken_since: row.trouble.broken_since,
        told_at: row.trouble.told_at.unwrap_or(row.trouble.broken_since),
        healed_at: row.healed_at,
        undelivered: found.undelivered,
        delivery_trouble: found.delivery_trouble,
    }
}
