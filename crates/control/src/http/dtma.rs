//! `/api/v1/dtma`: what DTMAs send.

use std::sync::Arc;

use api::dtma::{Heartbeat, HeartbeatAnswer, TUNNEL_PROTOCOL};
use api::errors::{ErrorBody, ErrorCode};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::app::{App, Problem, environments, heartbeats};
use crate::http::extract::{Body, ByDtma};
use crate::http::refused::Refused;
use crate::tunnels::Within;

/// A heartbeat of a DTMA: every 15 s, and at once when something changed.
#[utoipa::path(
    post, path = "/api/v1/dtma/heartbeat", tag = "dtma", security(("dtma" = [])), request_body = Heartbeat,
    responses(
        (status = 200, description = "Taken, and some may run on", body = HeartbeatAnswer),
        (status = 204, description = "Taken"), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn heartbeat(
    State(app): State<Arc<App>>,
    ByDtma(environment): ByDtma,
    Body(body): Body<Heartbeat>,
) -> Result<Response, Refused> {
    let answer = heartbeats::heartbeat(&app, &environment, &body).await?;
    if answer == HeartbeatAnswer::default() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Json(answer).into_response())
}

/// Opens the tunnel of a DTMA that cannot be dialled: after the 101 it serves its own API on this connection, over HTTP/2;
/// where a WebSocket is asked for (RFC 6455), in its binary frames.
#[utoipa::path(
    get, path = "/api/v1/dtma/tunnel", tag = "dtma", security(("dtma" = [])),
    responses(
        (status = 101), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 409, body = ErrorBody)
    )
)]
pub(crate) async fn tunnel(
    State(app): State<Arc<App>>,
    ByDtma(environment): ByDtma,
    request: Request,
) -> Result<Response, Refused> {
    if let Some(headers) = hop::websocket::accept(request.headers()) {
        environments::tunnel(&app, &environment, (hyper::upgrade::on(request), Within::WebSocket))?;
        return Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response());
    }
    let asked = request.headers().get(UPGRADE).is_some_and(|asked| asked == TUNNEL_PROTOCOL);
    if !asked {
        return Err(Problem::refused(ErrorCode::BadRequest, "this path only opens tunnels")
            .field("Upgrade")
            .hint(format!("send `Connection: upgrade` and `Upgrade: {TUNNEL_PROTOCOL}` over HTTP/1.1"))
            .into());
    }
    environments::tunnel(&app, &environment, (hyper::upgrade::on(request), Within::Upgrade))?;
    let headers = [
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static(TUNNEL_PROTOCOL)),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}
