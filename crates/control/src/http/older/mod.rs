//! What older hosts and clients ask for, under the paths and in the shapes that they know. What differs from the older
//! platform is a row of docs/older-dtma.md.

mod answer;
mod deploy;
mod hosts;
mod servers;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use crate::app::App;

/// What is served, as method and path.
const SERVED: [(&str, &str); 13] = [
    ("POST", "/heartbeat"),
    ("POST", "/functions/v1/heartbeat"),
    ("POST", "/dtma/heartbeat"),
    ("POST", "/fetch-tool-secrets"),
    ("POST", "/functions/v1/fetch-tool-secrets"),
    ("GET", "/api/mcp/servers"),
    ("GET", "/api/mcp/servers/{id}"),
    ("PUT", "/api/mcp/servers/{id}"),
    ("DELETE", "/api/mcp/servers/{id}"),
    ("GET", "/api/mcp/marketplace/templates"),
    ("POST", "/api/mcp/deploy"),
    ("GET", "/api/mcp/deploy/{id}/status"),
    ("GET", "/api/mcp/credentials"),
];

/// Method and path of everything that is served here.
pub(crate) fn served() -> &'static [(&'static str, &'static str)] {
    &SERVED
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
        "/api/mcp/servers" => get(servers::list),
        "/api/mcp/servers/{id}" => get(servers::show).put(servers::change).delete(servers::remove),
        "/api/mcp/marketplace/templates" => get(deploy::templates),
        "/api/mcp/deploy" => post(deploy::deploy),
        "/api/mcp/deploy/{id}/status" => get(deploy::status),
        "/api/mcp/credentials" => get(servers::credentials),
        _ => return None,
    })
}

/// The older paths.
pub(crate) fn router() -> Router<Arc<App>> {
    let mut paths: Vec<&str> = SERVED.iter().map(|(_, path)| *path).collect();
    paths.dedup();
    paths
        .into_iter()
        .filter_map(|path| handler(path).map(|handler| (path, handler)))
        .fold(Router::new(), |router, (path, handler)| router.route(path, handler))
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
