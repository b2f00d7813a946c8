//! Bodies, ids and queries that cannot be: the status, the code and the field that is named. Nothing is left of them.

use serde_json::{Value, json};

use crate::host::{Host, error, spec};

#[tokio::test]
async fn specs() {
    let host = Host::start().await;
    let good = serde_json::to_value(spec()).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = good.clone();
        change(&mut body);
        body.to_string()
    };
    let rows: Vec<(&str, String, u16, Option<&str>)> = vec![
        ("not JSON", "{".to_owned(), 400, None),
        ("empty", String::new(), 400, None),
        ("an array", "[1]".to_owned(), 422, Some("[0]")),
        ("null", "null".to_owned(), 422, None),
        ("unknown field", with(&|b| b["colour"] = json!("red")), 422, Some("colour")),
        ("unknown inner field", with(&|b| b["limits"] = json!({"cpu": 1})), 422, Some("limits.cpu")),
        (
            "missing field",
            with(&|b| {
                b.as_object_mut().unwrap().remove("key");
            }),
            422,
            Some("key"),
        ),
        ("wrong type", with(&|b| b["generation"] = json!("one")), 422, Some("generation")),
        ("negative", with(&|b| b["generation"] = json!(-1)), 422, Some("generation")),
        ("not a name", with(&|b| b["name"] = json!("My Server")), 422, Some("name")),
        ("path as a name", with(&|b| b["account"] = json!("../x")), 422, Some("account")),
        ("unknown state", with(&|b| b["desired"] = json!("paused")), 422, Some("desired")),
        (
            "unknown package",
            with(&|b| b["package"] = json!({"kind": "gem", "name": "x"})),
            422,
            Some("package.kind"),
        ),
        (
            "id of another",
            with(&|b| b["id"] = json!("01981234-5678-7abc-8def-0123456789ab")),
            422,
            Some("id"),
        ),
        ("not an id", with(&|b| b["id"] = json!("x")), 422, Some("id")),
        ("= in a variable", with(&|b| b["env"] = json!({"A=B": "c"})), 422, Some("env.A=B")),
        ("NUL in a value", with(&|b| b["env"] = json!({"A": "b\0"})), 422, Some("env.A")),
        ("NUL in a secret", with(&|b| b["secrets"] = json!({"A": "b\0"})), 422, Some("secrets.A")),
        ("empty variable", with(&|b| b["env"] = json!({"": "b"})), 422, Some("env.")),
        ("key that no header can have", with(&|b| b["key"] = json!("a\nb")), 422, Some("key")),
        ("empty key", with(&|b| b["key"] = json!("")), 422, Some("key")),
        ("too large", with(&|b| b["env"] = json!({"A": "x".repeat(1 << 20)})), 413, None),
    ];
    let id = good["id"].as_str().unwrap();
    for (what, body, status, field) in rows {
        let request = host.request("PUT", &format!("/v1/instances/{id}"));
        let request = request.header("content-type", "application/json").body(body);
        let (found, body) = error(request.send().await.unwrap()).await;
        assert_eq!((found, body.error.field.as_deref()), (status, field), "{what}: {body:?}");
        assert!(!body.error.message.contains("hunter2"), "{what}: a secret in an error");
    }
    let request = host.request("PUT", &format!("/v1/instances/{id}")).body(good.to_string());
    let (status, body) = error(request.send().await.unwrap()).await;
    assert_eq!((status, body.error.field.as_deref()), (400, Some("Content-Type")));
    assert_eq!(host.report(id.parse().unwrap()).await, None);
    assert_eq!(
        std::fs::read_dir(host.layout.instances()).unwrap().count(),
        0,
        "something is left on the disk"
    );
}

#[tokio::test]
async fn ids_and_queries() {
    let host = Host::start().await;
    let spec = host.deploy().await;
    let logs = format!("/v1/instances/{}/logs", spec.id);
    for (method, path, field) in [
        ("GET", "/v1/instances/x".to_owned(), "id"),
        ("DELETE", "/v1/instances/0".to_owned(), "id"),
        ("POST", "/v1/instances/..%2f..%2fetc/start".to_owned(), "id"),
        ("POST", "/v1/instances/%00/mcp".to_owned(), "id"),
        ("GET", format!("{logs}?tail=-1"), "tail"),
        ("GET", format!("{logs}?tail=many"), "tail"),
        ("GET", format!("{logs}?follow=perhaps"), "follow"),
        ("GET", format!("{logs}?lines=1"), "lines"),
    ] {
        let (status, body) = error(host.request(method, &path).send().await.unwrap()).await;
        assert_eq!((status, body.error.field.as_deref()), (400, Some(field)), "{method} {path}: {body:?}");
    }
}

#[tokio::test]
async fn shutdown_takes_its_fields_only() {
    let host = Host::start().await;
    for (body, status, field) in [
        (json!({"stop_instances": "yes"}), 422, Some("stop_instances")),
        (json!({"force": true}), 422, Some("force")),
    ] {
        let request = host.request("POST", "/v1/shutdown").json(&body);
        let (found, body) = error(request.send().await.unwrap()).await;
        assert_eq!((found, body.error.field.as_deref()), (status, field), "{body:?}");
    }
    assert_eq!(host.stranger("GET", "/health").send().await.unwrap().status(), 200, "it goes on");
}
