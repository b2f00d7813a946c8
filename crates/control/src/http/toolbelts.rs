//! `/api/v1/toolbelts`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::toolbelts::{
    AddMemberRequest, ApproveRequest, ChangeFeatureRequest, ChangeMemberRequest, ChangeToolbeltRequest,
    CreateToolbeltRequest, Feature, FeatureQuery, Member, Toolbelt,
};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::{App, toolbelts};
use crate::http::extract::{Body, By, Params};
use crate::http::refused::Refused;

/// The account's toolbelts, by name.
#[utoipa::path(
    get, path = "/api/v1/toolbelts", tag = "toolbelts", security(("token" = [])),
    responses((status = 200, body = Vec<Toolbelt>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
) -> Result<Json<Vec<Toolbelt>>, Refused> {
    Ok(Json(toolbelts::list(&app, &caller).await?))
}

/// Makes a toolbelt without members.
#[utoipa::path(
    post, path = "/api/v1/toolbelts", tag = "toolbelts", security(("token" = [])),
    request_body = CreateToolbeltRequest,
    responses((status = 201, body = Toolbelt), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<CreateToolbeltRequest>,
) -> Result<(StatusCode, Json<Toolbelt>), Refused> {
    Ok((StatusCode::CREATED, Json(toolbelts::create(&app, &caller, &request).await?)))
}

/// One toolbelt with its members.
#[utoipa::path(
    get, path = "/api/v1/toolbelts/{name}", tag = "toolbelts", security(("token" = [])),
    params(("name" = String, Path, description = "The toolbelt's name")),
    responses((status = 200, body = Toolbelt), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Toolbelt>, Refused> {
    Ok(Json(toolbelts::show(&app, &caller, &name).await?))
}

/// Changes how a toolbelt shows its tools, and what it does when their definitions change.
#[utoipa::path(
    patch, path = "/api/v1/toolbelts/{name}", tag = "toolbelts", security(("token" = [])),
    params(("name" = String, Path, description = "The toolbelt's name")),
    request_body = ChangeToolbeltRequest,
    responses((status = 200, body = Toolbelt), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<ChangeToolbeltRequest>,
) -> Result<Json<Toolbelt>, Refused> {
    Ok(Json(toolbelts::update(&app, &caller, &name, &request).await?))
}

/// Removes a toolbelt. The instances in it stay as they are.
#[utoipa::path(
    delete, path = "/api/v1/toolbelts/{name}", tag = "toolbelts", security(("token" = [])),
    params(("name" = String, Path, description = "The toolbelt's name")),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<StatusCode, Refused> {
    toolbelts::delete(&app, &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds an instance to a toolbelt; an agent's has instances of environments that the agent was granted.
#[utoipa::path(
    post, path = "/api/v1/toolbelts/{name}/members", tag = "toolbelts", security(("token" = [])),
    params(("name" = String, Path, description = "The toolbelt's name")),
    request_body = AddMemberRequest,
    responses((status = 201, body = Member), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn add_member(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<AddMemberRequest>,
) -> Result<(StatusCode, Json<Member>), Refused> {
    Ok((StatusCode::CREATED, Json(toolbelts::add_member(&app, &caller, &name, &request.instance).await?)))
}

/// Shows what a member has, or hides it.
#[utoipa::path(
    patch, path = "/api/v1/toolbelts/{name}/members/{instance}", tag = "toolbelts", security(("token" = [])),
    params(("name" = String, Path, description = "The toolbelt's name"), ("instance" = String, Path, description = "The instance's name")),
    request_body = ChangeMemberRequest,
    responses((status = 200, body = Member), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn change_member(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((name, instance)): Path<(String, String)>,
    Body(request): Body<ChangeMemberRequest>,
) -> Result<Json<Member>, Refused> {
    Ok(Json(toolbelts::set_active(&app, &caller, &name, &instance, request.is_active).await?))
}

/// Takes an instance out of a toolbelt, with all that was said of what it has there.
#[utoipa::path(
    delete, path = "/api/v1/toolbelts/{name}/members/{instance}", tag = "toolbelts", security(("token" = [])),
    params(("name" = String, Path, description = "The toolbelt's name"), ("instance" = String, Path, description = "The instance's name")),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn remove_member(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((name, instance)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    toolbelts::remove_member(&app, &caller, &name, &instance).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the members of a toolbelt have, as far as it was seen, by the toolbelt's names.
#[utoipa::path(
    get, path = "/api/v1/toolbelts/{name}/features", tag = "toolbelts", security(("token" = [])),
    params(("name" = String, Path, description = "The toolbelt's name"), FeatureQuery),
    responses((status = 200, body = Vec<Feature>), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn features(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Params(query): Params<FeatureQuery>,
) -> Result<Json<Vec<Feature>>, Refused> {
    Ok(Json(toolbelts::features(&app, &caller, &name, &query).await?))
}

/// Changes what a toolbelt calls something, how it describes it, and whether it shows it.
#[utoipa::path(
    patch, path = "/api/v1/toolbelts/{name}/features", tag = "toolbelts", security(("token" = [])),
    params(("name" = String, Path, description = "The toolbelt's name")),
    request_body = ChangeFeatureRequest,
    responses((status = 200, body = Feature), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn change_feature(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<ChangeFeatureRequest>,
) -> Result<Json<Feature>, Refused> {
    Ok(Json(toolbelts::set_feature(&app, &caller, &name, &request).await?))
}

/// Approves what members have now in the place of what was approved: one definition, or all of a member. The answer is what was
/// approved.
#[utoipa::path(
    post, path = "/api/v1/toolbelts/{name}/approve", tag = "toolbelts", security(("token" = [])),
    params(("name" = String, Path, description = "The toolbelt's name")),
    request_body = ApproveRequest,
    responses((status = 200, body = Vec<Feature>), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn approve(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<ApproveRequest>,
) -> Result<Json<Vec<Feature>>, Refused> {
    Ok(Json(toolbelts::approve(&app, &caller, &name, &request).await?))
}
