//! `/api/v1/agents`.

use std::sync::Arc;

use api::agents::{
    Agent, AgentToken, ChangeAgentRequest, CreateAgentRequest, CreateAgentTokenRequest, CreatedAgentToken,
    Credential, CredentialRequest, Permission, PermissionQuery, PermissionRequest, ServerAccess,
    ServerAccessRequest, ToolboxAccess, ToolboxRevoked,
};
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::{App, agents};
use crate::http::extract::{Body, By, Params};
use crate::http::refused::Refused;

/// The account's agents, by name.
#[utoipa::path(
    get, path = "/api/v1/agents", tag = "agents", security(("token" = [])),
    responses((status = 200, body = Vec<Agent>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, By(caller): By) -> Result<Json<Vec<Agent>>, Refused> {
    Ok(Json(agents::list(&app, &caller).await?))
}

/// Makes an agent with a toolbelt of its own. It may call nothing yet.
#[utoipa::path(
    post, path = "/api/v1/agents", tag = "agents", security(("token" = [])),
    request_body = CreateAgentRequest,
    responses((status = 201, body = Agent), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<CreateAgentRequest>,
) -> Result<(StatusCode, Json<Agent>), Refused> {
    Ok((StatusCode::CREATED, Json(agents::create(&app, &caller, &request).await?)))
}

/// One agent.
#[utoipa::path(
    get, path = "/api/v1/agents/{name}", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name")),
    responses((status = 200, body = Agent), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Agent>, Refused> {
    Ok(Json(agents::show(&app, &caller, &name).await?))
}

/// Gives an agent another name or description; for who made it, and admins, as every change of an agent.
#[utoipa::path(
    patch, path = "/api/v1/agents/{name}", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name")),
    request_body = ChangeAgentRequest,
    responses((status = 200, body = Agent), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<ChangeAgentRequest>,
) -> Result<Json<Agent>, Refused> {
    Ok(Json(agents::update(&app, &caller, &name, &request).await?))
}

/// Removes an agent with its toolbelt, tokens, credentials and all that it was granted.
#[utoipa::path(
    delete, path = "/api/v1/agents/{name}", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name")),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<StatusCode, Refused> {
    agents::delete(&app, &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An agent's tokens, newest first.
#[utoipa::path(
    get, path = "/api/v1/agents/{name}/tokens", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name")),
    responses((status = 200, body = Vec<AgentToken>), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn tokens(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Vec<AgentToken>>, Refused> {
    Ok(Json(agents::tokens(&app, &caller, &name).await?))
}

/// Makes a token for an agent. It opens MCP addresses alone; the answer is the only time its text is shown.
#[utoipa::path(
    post, path = "/api/v1/agents/{name}/tokens", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name")),
    request_body = CreateAgentTokenRequest,
    responses((status = 201, body = CreatedAgentToken), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn create_token(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<CreateAgentTokenRequest>,
) -> Result<(StatusCode, Json<CreatedAgentToken>), Refused> {
    Ok((StatusCode::CREATED, Json(agents::create_token(&app, &caller, &name, &request).await?)))
}

/// Revokes a token of an agent.
#[utoipa::path(
    delete, path = "/api/v1/agents/{name}/tokens/{id}", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name"), ("id" = String, Path, description = "Its id")),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn revoke_token(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    agents::revoke_token(&app, &caller, &name, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The environments of which an agent may have instances in its toolbelt.
#[utoipa::path(
    get, path = "/api/v1/agents/{name}/environments", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name")),
    responses((status = 200, body = Vec<ToolboxAccess>), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn environments(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Vec<ToolboxAccess>>, Refused> {
    Ok(Json(agents::toolboxes(&app, &caller, &name).await?))
}

/// Lets an agent have instances of an environment in its toolbelt.
#[utoipa::path(
    put, path = "/api/v1/agents/{name}/environments/{environment}", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name"), ("environment" = String, Path, description = "The environment's name")),
    responses((status = 200, body = ToolboxAccess), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn grant_environment(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((name, environment)): Path<(String, String)>,
) -> Result<Json<ToolboxAccess>, Refused> {
    Ok(Json(agents::grant_environment(&app, &caller, &name, &environment).await?))
}

/// Takes an environment from an agent. The members of its toolbelt that run there are inactive from then on.
#[utoipa::path(
    delete, path = "/api/v1/agents/{name}/environments/{environment}", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name"), ("environment" = String, Path, description = "The environment's name")),
    responses((status = 200, body = ToolboxRevoked), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn revoke_environment(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((name, environment)): Path<(String, String)>,
) -> Result<Json<ToolboxRevoked>, Refused> {
    Ok(Json(agents::revoke_environment(&app, &caller, &name, &environment).await?))
}

/// What an agent was granted of instances as a whole.
#[utoipa::path(
    get, path = "/api/v1/agents/{name}/servers", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name")),
    responses((status = 200, body = Vec<ServerAccess>), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn servers(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Vec<ServerAccess>>, Refused> {
    Ok(Json(agents::servers(&app, &caller, &name).await?))
}

/// Grants an agent an instance as a whole, in the place of what it was granted of it before.
#[utoipa::path(
    put, path = "/api/v1/agents/{name}/servers/{instance}", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name"), ("instance" = String, Path, description = "The instance's name")),
    request_body = ServerAccessRequest,
    responses((status = 200, body = ServerAccess), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn grant_server(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((name, instance)): Path<(String, String)>,
    Body(request): Body<ServerAccessRequest>,
) -> Result<Json<ServerAccess>, Refused> {
    Ok(Json(agents::grant_server(&app, &caller, &name, &instance, &request).await?))
}

/// Takes back what an agent was granted of an instance as a whole.
#[utoipa::path(
    delete, path = "/api/v1/agents/{name}/servers/{instance}", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name"), ("instance" = String, Path, description = "The instance's name")),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn revoke_server(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((name, instance)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    agents::revoke_server(&app, &caller, &name, &instance).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which tools of the members of its toolbelt an agent may call, one by one. What nothing grants is denied.
#[utoipa::path(
    get, path = "/api/v1/agents/{name}/permissions", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name")),
    responses((status = 200, body = Vec<Permission>), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn permissions(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Vec<Permission>>, Refused> {
    Ok(Json(agents::permissions(&app, &caller, &name).await?))
}

/// Allows or denies an agent a tool, in the place of what was said of it before.
#[utoipa::path(
    post, path = "/api/v1/agents/{name}/permissions", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name")),
    request_body = PermissionRequest,
    responses((status = 200, body = Permission), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn set_permission(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<PermissionRequest>,
) -> Result<Json<Permission>, Refused> {
    Ok(Json(agents::set_permission(&app, &caller, &name, &request).await?))
}

/// Forgets what was said of a tool.
#[utoipa::path(
    delete, path = "/api/v1/agents/{name}/permissions", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name"), PermissionQuery),
    responses((status = 204), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn forget_permission(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Params(query): Params<PermissionQuery>,
) -> Result<StatusCode, Refused> {
    agents::forget_permission(&app, &caller, &name, (&query.instance, &query.tool)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What an agent brings to the members of its toolbelt, without the values.
#[utoipa::path(
    get, path = "/api/v1/agents/{name}/credentials", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name")),
    responses((status = 200, body = Vec<Credential>), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn credentials(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Vec<Credential>>, Refused> {
    Ok(Json(agents::credentials(&app, &caller, &name).await?))
}

/// Keeps what an agent brings to a member of its toolbelt, for the agent's own calls alone.
#[utoipa::path(
    post, path = "/api/v1/agents/{name}/credentials", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name")),
    request_body = CredentialRequest,
    responses((status = 201, body = Credential), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn add_credential(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<CredentialRequest>,
) -> Result<(StatusCode, Json<Credential>), Refused> {
    Ok((StatusCode::CREATED, Json(agents::add_credential(&app, &caller, &name, &request).await?)))
}

/// Removes what an agent brings.
#[utoipa::path(
    delete, path = "/api/v1/agents/{name}/credentials/{id}", tag = "agents", security(("token" = [])),
    params(("name" = String, Path, description = "The agent's name"), ("id" = String, Path, description = "Its id")),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn remove_credential(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    agents::remove_credential(&app, &caller, &name, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
