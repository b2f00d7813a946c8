//! `/v1/instances`: what is wanted of each instance, and what is.

use api::dtma::{InstanceReport, InstanceSpec, RemoveQuery};
use api::errors::{ErrorBody, ErrorCode};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::InstanceId;

use super::App;
use super::errors::{Body, Path, Query, Refusal};
use crate::instances::Wish;

type Reported = Result<Json<InstanceReport>, Refusal>;

/// Every instance of this host.
#[utoipa::path(
    get,
    path = "/v1/instances",
    security(("token" = [])),
    responses((status = 200, body = Vec<InstanceReport>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<InstanceReport>> {
    let mut reports = app.instances.reports();
    app.gauge.fill(&mut reports).await;
    Json(reports)
}

/// Takes what is wanted of an instance. The same generation again changes nothing; an older one is refused.
#[utoipa::path(
    put,
    path = "/v1/instances/{id}",
    security(("token" = [])),
    params(("id" = InstanceId, Path)),
    request_body = InstanceSpec,
    responses(
        (status = 200, description = "Taken and on disk; the report follows", body = InstanceReport),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 409, description = "Older than what is here, or being removed", body = ErrorBody),
        (status = 413, body = ErrorBody),
        (status = 422, body = ErrorBody),
        (status = 503, body = ErrorBody),
        (status = 507, body = ErrorBody),
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    Path(id): Path<InstanceId>,
    Body(spec): Body<InstanceSpec>,
) -> Reported {
    if spec.id != id {
        return Err(Refusal::new(
            ErrorCode::Invalid,
            format!("the body is the spec of {}, not of {id}", spec.id),
        )
        .field("id")
        .hint("send a spec to the path of its own id"));
    }
    check(&spec)?;
    Ok(Json(app.instances.put(spec).await?))
}

/// What an instance is.
#[utoipa::path(
    get,
    path = "/v1/instances/{id}",
    security(("token" = [])),
    params(("id" = InstanceId, Path)),
    responses(
        (status = 200, body = InstanceReport),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
    )
)]
pub(crate) async fn get(State(app): State<App>, Path(id): Path<InstanceId>) -> Reported {
    Ok(Json(app.instances.face(id)?.report.borrow().clone()))
}

/// Stops an instance and removes all this host has of it, but installed packages.
#[utoipa::path(
    delete,
    path = "/v1/instances/{id}",
    security(("token" = [])),
    params(("id" = InstanceId, Path), RemoveQuery),
    responses(
        (status = 204, description = "Gone"),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, description = "It was not here", body = ErrorBody),
        (status = 409, description = "What is here is newer", body = ErrorBody),
        (status = 503, description = "Not gone yet; it goes on", body = ErrorBody),
    )
)]
pub(crate) async fn remove(
    State(app): State<App>,
    Path(id): Path<InstanceId>,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode, Refusal> {
    app.instances.remove(id, query.generation).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Wants an instance to run. Counts on this host until the control plane sends a greater generation.
#[utoipa::path(
    post,
    path = "/v1/instances/{id}/start",
    security(("token" = [])),
    params(("id" = InstanceId, Path)),
    responses(
        (status = 200, body = InstanceReport),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody),
        (status = 507, body = ErrorBody),
    )
)]
pub(crate) async fn start(State(app): State<App>, Path(id): Path<InstanceId>) -> Reported {
    Ok(Json(app.instances.wish(id, Wish::Start).await?))
}

/// Wants an instance to be stopped. Counts on this host until the control plane sends a greater generation.
#[utoipa::path(
    post,
    path = "/v1/instances/{id}/stop",
    security(("token" = [])),
    params(("id" = InstanceId, Path)),
    responses(
        (status = 200, body = InstanceReport),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody),
        (status = 507, body = ErrorBody),
    )
)]
pub(crate) async fn stop(State(app): State<App>, Path(id): Path<InstanceId>) -> Reported {
    Ok(Json(app.instances.wish(id, Wish::Stop).await?))
}

/// Wants an instance's server to be stopped and started. A stopped one is started.
#[utoipa::path(
    post,
    path = "/v1/instances/{id}/restart",
    security(("token" = [])),
    params(("id" = InstanceId, Path)),
    responses(
        (status = 200, body = InstanceReport),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody),
        (status = 507, body = ErrorBody),
    )
)]
pub(crate) async fn restart(State(app): State<App>, Path(id): Path<InstanceId>) -> Reported {
    Ok(Json(app.instances.wish(id, Wish::Restart).await?))
}

/// What the types let pass and this host cannot run: a variable that no process can have, a key that no header can.
fn check(spec: &InstanceSpec) -> Result<(), Refusal> {
    let named = spec.env.iter().map(|(name, value)| ("env", name, value.as_str()));
    let secret = spec.secrets.iter().map(|(name, value)| ("secrets", name, value.expose()));
    for (field, name, value) in named.chain(secret) {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Refusal::new(ErrorCode::Invalid, "an environment variable cannot be like this")
                .field(format!("{field}.{name}"))
                .hint("a name has no `=`, and neither name nor value has a NUL character"));
        }
    }
    let key = spec.key.expose();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::new(ErrorCode::Invalid, "the key must be visible ASCII characters").field("key"));
    }
    Ok(())
}
