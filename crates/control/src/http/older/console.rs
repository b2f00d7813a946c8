//! `/functions/v1/toolbox-dtma-console`: a host as its own agent tells of it, and two things that it can be asked to do. Nothing
//! is simulated: a host that does not answer is said to be silent.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Served;
use super::answer::{ByClient, ClientBody, ClientFailure};
use crate::app::older::toolboxes::{Ask, console};
use crate::app::{App, Problem};
use crate::directory::now;

const PATH: &str = "/functions/v1/toolbox-dtma-console";

/// What is served here.
pub(super) const SERVED: Served = &[("POST", PATH)];

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route(PATH, post(act))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Act {
    toolbox_id: String,
    action: String,
}

async fn act(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    ClientBody(body): ClientBody<Act>,
) -> Result<Json<Value>, ClientFailure> {
    let ask = match body.action.as_str() {
        "status" => Ask::Status,
        "restart" => Ask::Restart,
        "redeploy" => Ask::Redeploy,
        other => {
            return Err(Problem::invalid("action", format!("`{other}` is no action"))
                .hint("it is `status`, `restart` or `redeploy`")
                .into());
        }
    };
    let answer = console(&app, &caller, &body.toolbox_id, ask).await;
    let at = now().to_string();
    match (ask, answer) {
        (Ask::Status, Ok(status)) => Ok(Json(json!({
            "success": true, "system_metrics": status["system_metrics"], "dtma_status": status,
            "connection_status": "connected", "last_checked": at,
        }))),
        // The older front end shows this one rather than an error.
        (Ask::Status, Err(Problem::Refused(detail)))
            if detail.code == api::errors::ErrorCode::Unavailable =>
        {
            Ok(Json(json!({
                "success": false, "error": detail.message, "hint": detail.hint,
                "connection_status": "failed", "last_checked": at,
            })))
        }
        (_, Ok(details)) => Ok(Json(json!({
            "success": true, "message": details["message"], "action": body.action, "method": "dtma_endpoint",
            "timestamp": at, "details": details,
        }))),
        (_, Err(problem)) => Err(problem.into()),
    }
}
