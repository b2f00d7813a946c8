//! Every endpoint with no token, wrong tokens and the right one; a path of the description that is not in the table
//! fails.

use std::collections::BTreeSet;

use domain::ids::InstanceId;

use crate::host::{Host, TOKEN, error, spec};

/// Method, path of the description, path asked, body, status with the right token. The instance does not exist.
fn table(id: InstanceId) -> Vec<(&'static str, &'static str, String, Option<serde_json::Value>, u16)> {
    let one = format!("/v1/instances/{id}");
    let row =
        |method, path, suffix: &str, body, status| (method, path, format!("{one}{suffix}"), body, status);
    let host = |method, path: &'static str, body, status| (method, path, path.to_owned(), body, status);
    let mut spec = spec();
    spec.id = id;
    spec.generation = 0;
    vec![
        host("GET", "/health", None, 200),
        host("GET", "/v1/info", None, 200),
        host("GET", "/v1/system", None, 200),
        host("GET", "/metrics", None, 200),
        host("GET", "/v1/log", None, 200),
        host("GET", "/v1/checks", None, 200),
        host("GET", "/v1/instances", None, 200),
        host("POST", "/v1/cleanup", Some(serde_json::json!({"dry_run": true})), 200),
        host("GET", "/v1/upgrade", None, 200),
        host(
            "POST",
            "/v1/upgrade",
            Some(
                serde_json::json!({"program": "0".repeat(64), "attempt": "00000000-0000-7000-8000-000000000000"}),
            ),
            409,
        ),
        ("PUT", "/v1/binary/{sha256}", format!("/v1/binary/{}?offset=0&size=1", "0".repeat(64)), None, 409),
        row("GET", "/v1/instances/{id}", "", None, 404),
        row("DELETE", "/v1/instances/{id}", "", None, 404),
        row("POST", "/v1/instances/{id}/start", "/start", None, 404),
        row("POST", "/v1/instances/{id}/stop", "/stop", None, 404),
        row("POST", "/v1/instances/{id}/restart", "/restart", None, 404),
        row("GET", "/v1/instances/{id}/logs", "/logs", None, 404),
        row("POST", "/v1/instances/{id}/mcp", "/mcp", Some(serde_json::json!({})), 404),
        row("GET", "/v1/instances/{id}/mcp", "/mcp", None, 404),
        row("DELETE", "/v1/instances/{id}/mcp", "/mcp", None, 404),
        row("GET", "/v1/instances/{id}/mcp/sse", "/mcp/sse", None, 404),
        row("POST", "/v1/instances/{id}/mcp/sse", "/mcp/sse", Some(serde_json::json!({})), 404),
        row("PUT", "/v1/instances/{id}", "", Some(serde_json::to_value(spec).unwrap()), 200),
        host("POST", "/v1/shutdown", Some(serde_json::json!({})), 204),
    ]
}

#[test]
fn the_table_has_every_path_of_the_description() {
    let document = serde_json::to_value(dtma::openapi()).unwrap();
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let in_table: BTreeSet<(String, String)> = table(InstanceId::generate())
        .into_iter()
        .map(|(method, path, ..)| (method.to_owned(), path.to_owned()))
        .collect();
    assert_eq!(described, in_table);
}

#[tokio::test]
async fn every_endpoint_asks_for_the_token() {
    let mut host = Host::start().await;
    let wrong: [(&str, Option<String>); 8] = [
        ("none", None),
        ("another", Some("Bearer berth_dtma_wrong".to_owned())),
        ("a longer one", Some(format!("Bearer {TOKEN}x"))),
        ("a shorter one", Some(format!("Bearer {}", &TOKEN[1..]))),
        ("an empty one", Some("Bearer ".to_owned())),
        ("no scheme", Some(TOKEN.to_owned())),
        ("another scheme", Some(format!("Basic {TOKEN}"))),
        ("two spaces", Some(format!("Bearer  {TOKEN}"))),
    ];
    let nowhere = [
        ("GET", "", "/".to_owned(), None, 404),
        ("GET", "", "/v1/nothing".to_owned(), None, 404),
        ("PATCH", "", "/v1/instances".to_owned(), None, 405),
        ("GET", "", "/v1/shutdown".to_owned(), None, 405),
        ("PUT", "", format!("/v1/instances/{}/mcp", InstanceId::generate()), None, 405),
    ];
    let rows: Vec<_> = nowhere.into_iter().chain(table(InstanceId::generate())).collect();
    for (method, _, path, body, _) in rows.iter().filter(|(_, path, ..)| *path != "/health") {
        for (what, header) in &wrong {
            let mut request = host.stranger(method, path);
            if let Some(header) = header {
                request = request.header("authorization", header);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = request.send().await.unwrap();
            let challenge =
                response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(response.status(), 401, "{method} {path} with {what}");
            let expected = if header.is_some() { "invalid_token" } else { "Bearer realm" };
            assert!(challenge.unwrap().contains(expected), "{method} {path} with {what}");
            assert_eq!(error(response).await.0, 401);
        }
        let query = format!("{path}?access_token={TOKEN}&token={TOKEN}");
        assert_eq!(host.stranger(method, &query).send().await.unwrap().status(), 401, "{method} {query}");
    }
    assert_eq!(host.stranger("GET", "/health").send().await.unwrap().status(), 200);
    // The shutdown is the last row.
    for (method, _, path, body, expected) in &rows {
        let mut request = host.stranger(method, path).header("authorization", format!("bearer {TOKEN}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), *expected, "{method} {path} with the token");
        if 400 <= *expected {
            error(response).await;
        }
    }
    host.ended().await;
}

#[tokio::test]
async fn the_host_tells_what_it_is() {
    let host = Host::start().await;
    let spec = host.deploy().await;
    let info: api::dtma::DtmaInfo =
        host.request("GET", "/v1/info").send().await.unwrap().json().await.unwrap();
    assert_eq!(info.environment, host.environment);
    assert_eq!(info.protections.len(), 1);
    let system: api::dtma::SystemMetrics =
        host.request("GET", "/v1/system").send().await.unwrap().json().await.unwrap();
    assert!(0 < system.memory.total_bytes && system.disk.is_some());
    let list: Vec<api::dtma::InstanceReport> =
        host.request("GET", "/v1/instances").send().await.unwrap().json().await.unwrap();
    assert_eq!(list.iter().map(|report| report.id).collect::<Vec<_>>(), [spec.id]);
    let metrics = host.request("GET", "/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        r#"berth_dtma_instances{status="running"} 1"#,
        "berth_dtma_shim_starts_total 1",
        r#"berth_dtma_installs_total{succeeded="true"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}
