//! Rows of toolbelts and agents.

use http::Method;
use serde_json::json;

use super::{Row, row};
use crate::platform::Platform;

/// A toolbelt, and an agent that the member has not made.
pub(super) async fn prepare(platform: &Platform) {
    platform.post("/api/v1/toolbelts", json!({ "name": "belt" })).await;
    platform.post("/api/v1/agents", json!({ "name": "helper" })).await;
}

fn with_query(mut row: Row, query: &str) -> Row {
    row.path = format!("{}?{query}", row.path);
    row
}

#[expect(clippy::too_many_lines, reason = "it is one table, a row for each endpoint")]
pub(super) fn rows() -> Vec<Row> {
    let (get, post, put, patch, delete) =
        (Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
    let nothing = Some(json!({ "instance": "nothing", "tool": "x", "is_allowed": true }));
    let own_values = json!({ "instance": "nothing", "values": { "KEY": "x" } });
    let query = "instance=nothing&tool=x";
    vec![
        row(&get, "/api/v1/toolbelts", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(
            &post,
            "/api/v1/toolbelts",
            "",
            Some(json!({ "name": "local-x", "mode": "list" })),
            [401, 401, 401, 401, 201, 403, 201, 409],
        ),
        row(&get, "/api/v1/toolbelts/{name}", "belt", None, [401, 401, 401, 401, 404, 200, 200, 200]),
        row(
            &patch,
            "/api/v1/toolbelts/{name}",
            "belt",
            Some(json!({ "mode": "search" })),
            [401, 401, 401, 401, 404, 403, 200, 200],
        ),
        row(
            &post,
            "/api/v1/toolbelts/{name}/members",
            "belt",
            Some(json!({ "instance": "welcome" })),
            [401, 401, 401, 401, 404, 403, 201, 409],
        ),
        row(
            &patch,
            "/api/v1/toolbelts/{name}/members/{instance}",
            "belt",
            Some(json!({ "is_active": false })),
            [401, 401, 401, 401, 404, 403, 200, 200],
        ),
        row(
            &get,
            "/api/v1/toolbelts/{name}/features",
            "belt",
            None,
            [401, 401, 401, 401, 404, 200, 200, 200],
        ),
        row(
            &patch,
            "/api/v1/toolbelts/{name}/features",
            "belt",
            Some(json!({ "name": "x" })),
            [401, 401, 401, 401, 404, 403, 404, 404],
        ),
        row(
            &post,
            "/api/v1/toolbelts/{name}/approve",
            "belt",
            Some(json!({ "instance": "welcome" })),
            [401, 401, 401, 401, 404, 403, 200, 200],
        ),
        row(
            &delete,
            "/api/v1/toolbelts/{name}/members/{instance}",
            "belt",
            None,
            [401, 401, 401, 401, 404, 403, 204, 404],
        ),
        row(&delete, "/api/v1/toolbelts/{name}", "belt", None, [401, 401, 401, 401, 404, 403, 204, 404]),
        row(&get, "/api/v1/agents", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(
            &post,
            "/api/v1/agents",
            "",
            Some(json!({ "name": "other" })),
            [401, 401, 401, 401, 201, 403, 201, 409],
        ),
        row(&get, "/api/v1/agents/{name}", "helper", None, [401, 401, 401, 401, 404, 200, 200, 200]),
        row(
            &patch,
            "/api/v1/agents/{name}",
            "helper",
            Some(json!({ "description": "x" })),
            [401, 401, 401, 401, 404, 403, 403, 200],
        ),
        row(&get, "/api/v1/agents/{name}/tokens", "helper", None, [401, 401, 401, 401, 404, 200, 200, 200]),
        row(
            &post,
            "/api/v1/agents/{name}/tokens",
            "helper",
            Some(json!({ "name": "x" })),
            [401, 401, 401, 401, 404, 403, 403, 201],
        ),
        row(
            &delete,
            "/api/v1/agents/{name}/tokens/{id}",
            "helper",
            None,
            [401, 401, 401, 401, 404, 403, 403, 404],
        ),
        row(
            &get,
            "/api/v1/agents/{name}/environments",
            "helper",
            None,
            [401, 401, 401, 401, 404, 200, 200, 200],
        ),
        row(
            &put,
            "/api/v1/agents/{name}/environments/{environment}",
            "helper",
            None,
            [401, 401, 401, 401, 404, 403, 403, 200],
        ),
        row(
            &delete,
            "/api/v1/agents/{name}/environments/{environment}",
            "helper",
            None,
            [401, 401, 401, 401, 404, 403, 403, 200],
        ),
        row(&get, "/api/v1/agents/{name}/servers", "helper", None, [401, 401, 401, 401, 404, 200, 200, 200]),
        row(
            &put,
            "/api/v1/agents/{name}/servers/{instance}",
            "helper",
            Some(json!({ "level": "read_only" })),
            [401, 401, 401, 401, 404, 403, 403, 200],
        ),
        row(
            &delete,
            "/api/v1/agents/{name}/servers/{instance}",
            "helper",
            None,
            [401, 401, 401, 401, 404, 403, 403, 204],
        ),
        row(
            &get,
            "/api/v1/agents/{name}/permissions",
            "helper",
            None,
            [401, 401, 401, 401, 404, 200, 200, 200],
        ),
        row(
            &post,
            "/api/v1/agents/{name}/permissions",
            "helper",
            nothing,
            [401, 401, 401, 401, 404, 403, 403, 404],
        ),
        with_query(
            row(
                &delete,
                "/api/v1/agents/{name}/permissions",
                "helper",
                None,
                [401, 401, 401, 401, 404, 403, 403, 404],
            ),
            query,
        ),
        row(
            &get,
            "/api/v1/agents/{name}/credentials",
            "helper",
            None,
            [401, 401, 401, 401, 404, 200, 200, 200],
        ),
        row(
            &post,
            "/api/v1/agents/{name}/credentials",
            "helper",
            Some(own_values),
            [401, 401, 401, 401, 404, 403, 403, 404],
        ),
        row(
            &delete,
            "/api/v1/agents/{name}/credentials/{id}",
            "helper",
            None,
            [401, 401, 401, 401, 404, 403, 403, 404],
        ),
        row(&delete, "/api/v1/agents/{name}", "helper", None, [401, 401, 401, 401, 404, 403, 403, 204]),
    ]
}
