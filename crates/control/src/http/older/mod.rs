//! What older hosts and clients ask for, under the paths and in the shapes that they know. What differs from the older
//! platform is a row of docs/older-dtma.md and docs/older-platform.md.

mod answer;
mod config;
mod console;
mod cors;
mod deploy;
mod droplets;
mod hosts;
mod manager;
mod rows;
mod servers;
mod templates;
mod toolbelt;
mod toolboxes;
mod tools;

use std::sync::Arc;

use api::errors::ErrorCode;
use axum::Router;
use axum::extract::Path;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any, get, post};

use crate::app::{App, Problem};
use answer::ClientFailure;

/// Method and path of what one file serves.
type Served = &'static [(&'static str, &'static str)];

/// What is served to hosts and to the older MCP client.
const SERVED: [(&str, &str); 16] = [
    ("POST", "/heartbeat"),
    ("POST", "/functions/v1/heartbeat"),
    ("POST", "/dtma/heartbeat"),
    ("POST", "/fetch-tool-secrets"),
    ("POST", "/functions/v1/fetch-tool-secrets"),
    ("POST", "/get-agent-tool-credentials"),
    ("POST", "/functions/v1/get-agent-tool-credentials"),
    ("POST", "/dtma/get-agent-tool-credentials"),
    ("GET", "/api/mcp/servers"),
    ("GET", "/api/mcp/servers/{id}"),
    ("PUT", "/api/mcp/servers/{id}"),
    ("DELETE", "/api/mcp/servers/{id}"),
    ("GET", "/api/mcp/marketplace/templates"),
    ("POST", "/api/mcp/deploy"),
    ("GET", "/api/mcp/deploy/{id}/status"),
    ("GET", "/api/mcp/credentials"),
];

/// Of the functions that the older front end calls.
const FUNCTIONS: [Served; 7] = [
    toolboxes::SERVED,
    tools::SERVED,
    console::SERVED,
    droplets::SERVED,
    templates::SERVED,
    toolbelt::SERVED,
    manager::SERVED,
];

/// Method and path of everything that is served here.
pub(crate) fn served() -> Vec<(&'static str, &'static str)> {
    SERVED.iter().chain(FUNCTIONS.into_iter().flatten()).copied().collect()
}

/// The handlers of one path of [`SERVED`].
fn handler(path: &str) -> Option<MethodRouter<Arc<App>>> {
    Some(match path {
        "/heartbeat" | "/functions/v1/heartbeat" | "/dtma/heartbeat" => {
            post(hosts::heartbeat).fallback(answer::wrong_method)
        }
        "/fetch-tool-secrets" | "/functions/v1/fetch-tool-secrets" => {
            post(hosts::secrets).fallback(answer::wrong_method)
        }
        "/get-agent-tool-credentials"
        | "/functions/v1/get-agent-tool-credentials"
        | "/dtma/get-agent-tool-credentials" => post(hosts::agent_credentials).fallback(answer::wrong_method),
        "/api/mcp/servers" => get(servers::list),
        "/api/mcp/servers/{id}" => get(servers::show).put(servers::change).delete(servers::remove),
        "/api/mcp/marketplace/templates" => get(deploy::templates),
        "/api/mcp/deploy" => post(deploy::deploy),
        "/api/mcp/deploy/{id}/status" => get(deploy::status),
        "/api/mcp/credentials" => get(servers::credentials),
        _ => return None,
    })
}

/// The older paths, which pages of other origins may call.
pub(crate) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    let mut paths: Vec<&str> = SERVED.iter().map(|(_, path)| *path).collect();
    paths.dedup();
    paths
        .into_iter()
        .filter_map(|path| handler(path).map(|handler| (path, handler)))
        .fold(Router::new(), |router, (path, handler)| router.route(path, handler))
        .merge(toolboxes::router())
        .merge(tools::router())
        .merge(console::router())
        .merge(droplets::router())
        .merge(templates::router())
        .merge(toolbelt::router())
        .merge(manager::router())
        // A page could not read the answer of a path that is none.
        .route("/functions/v1/{*function}", any(no_function))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(app), cors::allow))
}

async fn no_function(Path(function): Path<String>) -> ClientFailure {
    let hint = "docs/older-platform.md lists what is served below /functions/v1";
    Problem::refused(ErrorCode::NotFound, format!("there is no function `{function}`")).hint(hint).into()
}

async fn wrong_method() -> ClientFailure {
    Problem::refused(ErrorCode::MethodNotAllowed, "this path does not take this method").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_handlers() {
        for (method, path) in SERVED {
            assert!(handler(path).is_some(), "{method} {path}");
        }
    }
}
