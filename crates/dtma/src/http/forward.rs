//! `/v1/instances/{id}/mcp` and, for HTTP+SSE of 2024-11-05, `…/mcp/sse`: the bytes of a call, to the instance's shim
//! and back, streamed both ways.
//!
//! It reads no MCP. The headers that name the caller and the instance's key pass as the control plane sent them; the
//! shim checks them. Calls come here without passing the router: theirs is the path that must be short.

use api::errors::{ErrorBody, ErrorCode};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{Method, Uri};
use axum::response::Response;
use domain::ids::InstanceId;
use domain::shim::{MCP_PATH, SSE_PATH};
use domain::status::InstanceStatus;
use hop::pool::HopError;

use super::App;
use super::errors::{Path, Refusal};
use crate::instance::chain;
use crate::metrics::{CallLabels, CallOutcome};

/// Sends one message to the instance's server.
#[utoipa::path(
    post,
    path = "/v1/instances/{id}/mcp",
    security(("token" = [])),
    params(("id" = InstanceId, Path)),
    responses(
        (status = 200, description = "What the shim answers, whatever its status"),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 502, description = "The shim ended before it answered", body = ErrorBody),
        (status = 503, description = "Stopped, starting or failed, as the message says", body = ErrorBody),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    Path(id): Path<InstanceId>,
    request: Request,
) -> Result<Response, Refusal> {
    call(&app, id, request).await
}

/// Opens a stream of what the instance's server sends by itself.
#[utoipa::path(
    get,
    path = "/v1/instances/{id}/mcp",
    security(("token" = [])),
    params(("id" = InstanceId, Path)),
    responses((status = 200, description = "As for POST"), (status = 401, body = ErrorBody))
)]
pub(crate) async fn get(
    State(app): State<App>,
    Path(id): Path<InstanceId>,
    request: Request,
) -> Result<Response, Refusal> {
    call(&app, id, request).await
}

/// Ends a session.
#[utoipa::path(
    delete,
    path = "/v1/instances/{id}/mcp",
    security(("token" = [])),
    params(("id" = InstanceId, Path)),
    responses((status = 200, description = "As for POST"), (status = 401, body = ErrorBody))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    Path(id): Path<InstanceId>,
    request: Request,
) -> Result<Response, Refusal> {
    call(&app, id, request).await
}

/// The instance that a request of one of the three methods is for.
pub(super) fn instance_of(request: &Request) -> Option<InstanceId> {
    let id = request.uri().path().strip_prefix("/v1/instances/")?.strip_suffix("/mcp")?;
    matches!(*request.method(), Method::POST | Method::GET | Method::DELETE)
        .then(|| id.parse().ok())
        .flatten()
}

/// Opens a session of HTTP+SSE, and its stream.
#[utoipa::path(
    get,
    path = "/v1/instances/{id}/mcp/sse",
    security(("token" = [])),
    params(("id" = InstanceId, Path)),
    responses((status = 200, description = "As for POST of `mcp`"), (status = 401, body = ErrorBody))
)]
pub(crate) async fn sse_get(
    State(app): State<App>,
    Path(id): Path<InstanceId>,
    request: Request,
) -> Result<Response, Refusal> {
    forward(&app, id, sse_uri(&request)?, request).await
}

/// Sends one message of a session of HTTP+SSE, which the query names.
#[utoipa::path(
    post,
    path = "/v1/instances/{id}/mcp/sse",
    security(("token" = [])),
    params(("id" = InstanceId, Path)),
    responses((status = 202, description = "As for POST of `mcp`"), (status = 401, body = ErrorBody))
)]
pub(crate) async fn sse_post(
    State(app): State<App>,
    Path(id): Path<InstanceId>,
    request: Request,
) -> Result<Response, Refusal> {
    forward(&app, id, sse_uri(&request)?, request).await
}

fn sse_uri(request: &Request) -> Result<Uri, Refusal> {
    let Some(query) = request.uri().query() else { return Ok(Uri::from_static(SSE_PATH)) };
    format!("{SSE_PATH}?{query}")
        .parse()
        .map_err(|_| Refusal::new(ErrorCode::BadRequest, "the query is no part of an address"))
}

/// Passes a call on.
pub(super) async fn call(app: &App, id: InstanceId, request: Request) -> Result<Response, Refusal> {
    forward(app, id, Uri::from_static(MCP_PATH), request).await
}

async fn forward(app: &App, id: InstanceId, uri: Uri, mut request: Request) -> Result<Response, Refusal> {
    let face = app.instances.face(id)?;
    if face.order.borrow().spec().is_some_and(|spec| spec.launch.container.is_some()) {
        return Err(Refusal::not_found("the instance is a container tool and speaks no MCP")
            .hint("it is reached on the ports that it publishes"));
    }
    let shared = app.instances.shared();
    let count = |outcome| {
        shared.metrics.calls.get_or_create(&CallLabels { outcome }).inc();
    };
    let (status, message) = {
        let report = face.report.borrow();
        // The usual case copies no text.
        (report.status, (report.status != InstanceStatus::Running).then(|| report.message.clone()).flatten())
    };
    if let Some(refusal) = not_served(status, message.as_deref()) {
        count(CallOutcome::Unavailable);
        return Err(refusal.away());
    }
    let headers = request.headers_mut();
    hop::forward::strip(headers);
    headers.remove(AUTHORIZATION);
    headers.remove(COOKIE);
    *request.uri_mut() = uri;
    match shared.pool.send(&face.address, request).await {
        Ok(response) => {
            count(CallOutcome::Answered);
            let (mut parts, body) = response.into_parts();
            hop::forward::strip(&mut parts.headers);
            Ok(Response::from_parts(parts, Body::new(body)))
        }
        Err(error @ HopError::Connect { .. }) => {
            tracing::debug!(instance = %id, error = chain(&error), "no shim to forward to");
            count(CallOutcome::Unavailable);
            face.nudge.notify_one();
            Err(Refusal::unavailable(message.unwrap_or_else(|| "the instance is starting".to_owned())).away())
        }
        Err(error @ HopError::Lost { .. }) => {
            tracing::debug!(instance = %id, error = chain(&error), "the shim ended in mid-call");
            count(CallOutcome::Lost);
            face.nudge.notify_one();
            Err(Refusal::new(ErrorCode::BadGateway, "the instance's shim ended before it answered")
                .hint("it is started again; whether the call was acted upon is not known"))
        }
    }
}

/// Why a call cannot be forwarded now; `None` when there is, or may be, a shim: it knows best how its server is.
fn not_served(status: InstanceStatus, message: Option<&str>) -> Option<Refusal> {
    let refusal = match status {
        InstanceStatus::Starting
        | InstanceStatus::Running
        | InstanceStatus::Asleep
        | InstanceStatus::ErrorRuntime => return None,
        InstanceStatus::Stopped => Refusal::unavailable("the instance is stopped").hint("start it"),
        InstanceStatus::Stopping => Refusal::unavailable("the instance is being stopped"),
        InstanceStatus::Deleting => Refusal::unavailable("the instance is being removed"),
        InstanceStatus::PendingDeploy | InstanceStatus::Installing => {
            Refusal::unavailable("the instance is starting: its package is being installed")
        }
        InstanceStatus::ErrorInstall => Refusal::unavailable(format!(
            "the instance failed: its package could not be installed: {}",
            message.unwrap_or("no reason is known")
        )),
    };
    Some(refusal)
}
