//! The older DTMA's contract, for callers that were written for it: other paths and shapes on the same functions as
//! `/v1`. What deliberately differs from the older one is a row of docs/older-dtma.md.
//!
//! An instance deployed here has generation 0: this host's own, below every one that the control plane gives.

mod answer;
mod first;
mod groups;
mod host;
mod item;
mod options;
mod servers;
mod tools;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use serde_json::json;

use super::App;

/// First parts of the paths that are the older contract's.
const FIRST: [&str; 9] =
    ["tools", "status", "system", "logs", "restart", "redeploy", "mcp", "diagnostics", "ssh"];

/// What is served, as method and path.
const SERVED: [(&str, &str); 29] = [
    ("GET", "/status"),
    ("GET", "/system"),
    ("GET", "/logs"),
    ("POST", "/restart"),
    ("POST", "/redeploy"),
    ("POST", "/ssh/execute"),
    ("GET", "/diagnostics/docker"),
    ("GET", "/diagnostics/system"),
    ("GET", "/diagnostics/logs"),
    ("GET", "/tools"),
    ("POST", "/tools"),
    ("GET", "/tools/status"),
    ("DELETE", "/tools/{name}"),
    ("POST", "/tools/{name}/start"),
    ("POST", "/tools/{name}/stop"),
    ("POST", "/tools/{name}/execute"),
    ("POST", "/tools/install"),
    ("POST", "/tools/start"),
    ("POST", "/tools/stop"),
    ("DELETE", "/tools/uninstall"),
    ("POST", "/mcp/groups"),
    ("DELETE", "/mcp/groups/{group}"),
    ("GET", "/mcp/status"),
    ("GET", "/mcp/health/{group}"),
    ("POST", "/mcp/servers/{name}/restart"),
    ("GET", "/mcp/servers/{name}/logs"),
    ("POST", "/mcp/credentials/refresh/{name}"),
    ("GET", "/mcp/templates"),
    ("POST", "/mcp/validate"),
];

/// Method and path of everything that is served here.
pub(crate) fn served() -> &'static [(&'static str, &'static str)] {
    &SERVED
}

/// The handler of one line of [`SERVED`]; `None` is a line that nobody wrote one for, which a test would find.
fn handler(method: &str, path: &str) -> Option<MethodRouter<App>> {
    Some(match (method, path) {
        ("GET", "/status") => get(host::status),
        ("GET", "/system") => get(host::system),
        ("GET", "/logs") => get(host::logs),
        ("POST", "/restart") => post(host::restart),
        ("POST", "/redeploy") => post(host::redeploy),
        ("POST", "/ssh/execute") => post(host::shell),
        ("GET", "/diagnostics/docker") => get(host::diagnose_containers),
        ("GET", "/diagnostics/system") => get(host::diagnose_system),
        ("GET", "/diagnostics/logs") => get(host::diagnose_logs),
        ("GET", "/tools") => get(tools::list),
        ("POST", "/tools") => post(tools::deploy),
        ("GET", "/tools/status") => get(tools::status),
        ("DELETE", "/tools/{name}") => delete(tools::remove),
        ("POST", "/tools/{name}/start") => post(tools::start),
        ("POST", "/tools/{name}/stop") => post(tools::stop),
        ("POST", "/tools/{name}/execute") => post(tools::execute),
        ("POST", "/tools/install") => post(first::install),
        ("POST", "/tools/start") => post(first::start),
        ("POST", "/tools/stop") => post(first::stop),
        ("DELETE", "/tools/uninstall") => delete(first::uninstall),
        ("POST", "/mcp/groups") => post(groups::deploy),
        ("DELETE", "/mcp/groups/{group}") => delete(groups::remove),
        ("GET", "/mcp/status") => get(groups::status),
        ("GET", "/mcp/health/{group}") => get(groups::health),
        ("POST", "/mcp/servers/{name}/restart") => post(servers::restart),
        ("GET", "/mcp/servers/{name}/logs") => get(servers::logs),
        ("POST", "/mcp/credentials/refresh/{name}") => post(servers::refresh),
        ("GET", "/mcp/templates") => get(servers::templates),
        ("POST", "/mcp/validate") => post(servers::validate),
        _ => return None,
    })
}

/// The older paths.
pub(crate) fn router() -> Router<App> {
    SERVED
        .iter()
        .filter_map(|(method, path)| handler(method, path).map(|handler| (*path, handler)))
        .fold(Router::new(), |router, (path, handler)| router.route(path, handler))
}

/// Whether a path is of the older contract, there or not.
pub(crate) fn is_path(path: &str) -> bool {
    path.strip_prefix('/').and_then(|rest| rest.split('/').next()).is_some_and(|first| FIRST.contains(&first))
}

/// Nobody is here, or not with this method: the older one told neither apart.
pub(crate) fn not_found(request: &Request) -> Response {
    if request.uri().path().starts_with("/mcp/") {
        let there: Vec<String> = SERVED
            .iter()
            .filter(|(_, path)| path.starts_with("/mcp/"))
            .map(|(method, path)| format!("{method} {path}"))
            .collect();
        let body = json!({"success": false, "error": "MCP endpoint not found", "availableEndpoints": there});
        return (StatusCode::NOT_FOUND, axum::Json(body)).into_response();
    }
    (StatusCode::NOT_FOUND, axum::Json(json!({"error": "Not Found"}))).into_response()
}

/// The refusal of a caller, in the older shape.
pub(crate) fn refusal(has_token: bool) -> Response {
    let (status, error) = if has_token {
        (StatusCode::FORBIDDEN, "Forbidden: Invalid token")
    } else {
        (StatusCode::UNAUTHORIZED, "Unauthorized: Missing or invalid token format")
    };
    (status, axum::Json(json!({"error": error}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_a_handler() {
        for (method, path) in SERVED {
            assert!(handler(method, path).is_some(), "{method} {path}");
            assert!(is_path(path), "{path}");
        }
        for path in ["/", "/v1/tools", "/health", "/toolsmith", "/metrics"] {
            assert!(!is_path(path), "{path}");
        }
    }
}
