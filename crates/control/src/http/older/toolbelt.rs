//! `/functions/v1/agent-toolbelt`: what an agent has and may, item by item.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};
use domain::toolbelts::CredentialStatus;
use serde::Deserialize;
use serde_json::Value;

use super::answer::{ByClient, ClientBody, ClientFailure};
use super::{Served, rows};
use crate::app::older::agents::{self, Brought, find};
use crate::app::{App, Problem};

const TOOLBOXES: &str = "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/toolbox-access";
const TOOLBOX: &str = "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/toolbox-access/{access}";
const ITEMS: &str = "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/items";
const ITEM: &str = "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/items/{item}";
const CREDENTIALS: &str = "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/items/{item}/credentials";
const CREDENTIAL: &str =
    "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/items/{item}/credentials/{credential}";
const PERMISSIONS: &str = "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/items/{item}/permissions";

/// What is served here.
pub(super) const SERVED: Served = &[
    ("GET", TOOLBOXES),
    ("POST", TOOLBOXES),
    ("DELETE", TOOLBOX),
    ("GET", ITEMS),
    ("POST", ITEMS),
    ("DELETE", ITEM),
    ("GET", CREDENTIALS),
    ("POST", CREDENTIALS),
    ("DELETE", CREDENTIAL),
    ("GET", PERMISSIONS),
    ("POST", PERMISSIONS),
];

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route(TOOLBOXES, get(toolboxes).post(grant))
        .route(TOOLBOX, delete(revoke))
        .route(ITEMS, get(items).post(add))
        .route(ITEM, delete(remove))
        .route(CREDENTIALS, get(credentials).post(bring))
        .route(CREDENTIAL, delete(take_back))
        .route(PERMISSIONS, get(permissions).post(permit))
}

type One = Result<Json<Value>, ClientFailure>;
type Made = Result<(StatusCode, Json<Value>), ClientFailure>;
type Many = Result<Json<Vec<Value>>, ClientFailure>;

async fn toolboxes(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(agent): Path<String>,
) -> Many {
    Ok(Json(agents::toolboxes_of(&app, &caller, &agent).await?.iter().map(rows::access).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    account_tool_environment_id: String,
}

async fn grant(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(agent): Path<String>,
    ClientBody(body): ClientBody<Grant>,
) -> Made {
    let granted = agents::grant_toolbox(&app, &caller, &agent, &body.account_tool_environment_id).await?;
    Ok((StatusCode::CREATED, Json(rows::access(&granted))))
}

async fn revoke(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path((agent, access)): Path<(String, String)>,
) -> One {
    Ok(Json(rows::access(&agents::revoke_toolbox(&app, &caller, &agent, &access).await?)))
}

async fn items(State(app): State<Arc<App>>, ByClient(caller): ByClient, Path(agent): Path<String>) -> Many {
    let of = find(&app, &caller, &agent).await?;
    Ok(Json(agents::items(&app, &of).await?.iter().map(|item| rows::item(&of, item)).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    account_tool_instance_id: String,
    #[serde(default = "yes")]
    is_active_for_agent: bool,
}

fn yes() -> bool {
    true
}

async fn add(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(agent): Path<String>,
    ClientBody(body): ClientBody<Add>,
) -> Made {
    let of = find(&app, &caller, &agent).await?;
    let (instance, is_active) = (&body.account_tool_instance_id, body.is_active_for_agent);
    let item = agents::add_item(&app, &caller, &of, instance, is_active).await?;
    Ok((StatusCode::CREATED, Json(rows::item(&of, &item))))
}

async fn remove(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path((agent, item)): Path<(String, String)>,
) -> One {
    let of = find(&app, &caller, &agent).await?;
    Ok(Json(rows::item(&of, &agents::remove_item(&app, &caller, &of, &item).await?)))
}

async fn credentials(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path((agent, item)): Path<(String, String)>,
) -> Many {
    let of = find(&app, &caller, &agent).await?;
    Ok(Json(agents::credentials(&app, &of, &item).await?.iter().map(rows::credential).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bring {
    credential_type: String,
    credential_value: Value,
    status: Option<String>,
    account_identifier: Option<String>,
    /// Read for the account's name and nothing else.
    #[serde(default)]
    metadata: Value,
}

async fn bring(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path((agent, item)): Path<(String, String)>,
    ClientBody(body): ClientBody<Bring>,
) -> Made {
    let of = find(&app, &caller, &agent).await?;
    let status = match body.status.as_deref() {
        None => CredentialStatus::Active,
        Some(word) => CredentialStatus::of_word(word).ok_or_else(|| {
            Problem::invalid("status", format!("`{word}` is no status"))
                .hint("it is `active`, `revoked`, `requires_reauth` or `error`")
        })?,
    };
    let named = body.metadata["account_identifier"].as_str().map(str::to_owned);
    let brought = Brought {
        kind: body.credential_type,
        value: body.credential_value,
        status,
        account: body.account_identifier.or(named),
    };
    let row = agents::add_credential(&app, &caller, &of, &item, brought).await?;
    Ok((StatusCode::CREATED, Json(rows::credential(&row))))
}

async fn take_back(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path((agent, item, credential)): Path<(String, String, String)>,
) -> One {
    let of = find(&app, &caller, &agent).await?;
    let row = agents::remove_credential(&app, &caller, &of, (&item, &credential)).await?;
    Ok(Json(rows::credential(&row)))
}

async fn permissions(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path((agent, item)): Path<(String, String)>,
) -> Many {
    let of = find(&app, &caller, &agent).await?;
    Ok(Json(agents::permissions(&app, &of, &item).await?.iter().map(rows::permission).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Permit {
    capability_name: String,
    is_permitted: bool,
}

async fn permit(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path((agent, item)): Path<(String, String)>,
    ClientBody(body): ClientBody<Permit>,
) -> Made {
    let of = find(&app, &caller, &agent).await?;
    let said = (body.capability_name, body.is_permitted);
    let row = agents::set_permission(&app, &caller, &of, &item, said).await?;
    Ok((StatusCode::CREATED, Json(rows::permission(&row))))
}
