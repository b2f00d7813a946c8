//! The documents that clients read first.

use std::sync::Arc;

use api::errors::ErrorCode;
use axum::Json;
use axum::extract::{Path, State};
use jsonwebtoken::jwk::JwkSet;
use oauth::metadata::{AuthorizationServer, ProtectedResource};

use crate::app::oauth::discovery;
use crate::app::{App, Problem};
use crate::http::oauth::Base;
use crate::http::refused::Refused;

/// `/.well-known/oauth-authorization-server`, and the same for clients of OpenID Connect.
pub(crate) async fn authorization_server(
    State(app): State<Arc<App>>,
    Base(base): Base,
) -> Json<AuthorizationServer> {
    Json(discovery::authorization_server(&app, &base))
}

/// `/.well-known/oauth-protected-resource`: of this origin, which is the JSON API.
pub(crate) async fn api(Base(base): Base) -> Result<Json<ProtectedResource>, Refused> {
    resource(&base, "")
}

/// `/.well-known/oauth-protected-resource/mcp/{account}/{instance}`.
pub(crate) async fn server(
    Base(base): Base,
    Path(path): Path<String>,
) -> Result<Json<ProtectedResource>, Refused> {
    resource(&base, &format!("/{path}"))
}

fn resource(base: &str, path: &str) -> Result<Json<ProtectedResource>, Refused> {
    discovery::protected_resource(base, path).map(Json).ok_or_else(|| {
        Problem::refused(ErrorCode::NotFound, "nothing that takes tokens has this address")
            .hint("an MCP server's is /mcp/ACCOUNT/INSTANCE")
            .into()
    })
}

/// The public keys.
pub(crate) async fn keys(State(app): State<Arc<App>>) -> Json<JwkSet> {
    Json(discovery::keys(&app))
}
