//! Deploying: what a request becomes, and what is wrong with those that become nothing.

use api::users::Role;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::platform::{Life, Platform, nobody};

type Headers<'a> = &'a [(&'a str, &'a str)];

/// Sends a request that must be refused, and leaves nothing behind.
async fn refused(platform: &Platform, body: Value) -> String {
    let before = names(platform).await;
    let answer = platform.post("/api/v1/instances", body).await;
    assert!(answer.status.is_client_error(), "{answer:?}");
    assert_eq!(names(platform).await, before, "a refused request leaves nothing");
    answer.error()
}

#[tokio::test]
async fn bad_input_names_the_field_and_the_fix() {
    let platform = Platform::start(nobody()).await;
    let long = "x".repeat(70_000);
    let rows: Vec<(Value, &[&str])> = vec![
        (
            json!({ "server": "everythin" }),
            &["422 invalid | server", "`everythin`", "did you mean `everything`?", "npm:", "pypi:"],
        ),
        (json!({ "server": "zzz" }), &["422 invalid | server", "berth catalog search", "npm:"]),
        (json!({ "server": "gem:x" }), &["422 invalid | server", "kind", "npm:PKG"]),
        (json!({ "server": "oci:Nginx" }), &["422 invalid | server", "is not an image reference"]),
        (json!({ "server": "npm:UPPER" }), &["422 invalid | server", "npm package name"]),
        (json!({ "server": "npm:x@^1" }), &["422 invalid | server", "exact version"]),
        (json!({ "server": "file:server" }), &["422 invalid | server", "absolute path"]),
        (json!({ "server": "file:/srv/x", "version": "1.0.0" }), &["422 invalid | version", "no versions"]),
        (
            json!({ "server": "file:/srv/x", "constraints": ["a<2"] }),
            &["422 invalid | constraints", "copied"],
        ),
        (json!({ "server": "builtin:x" }), &["422 invalid | server", "use `welcome`"]),
        (json!({ "server": "" }), &["422 invalid | server"]),
        (json!({ "server": "npm:x@1.0.0", "version": "2.0.0" }), &["422 invalid | version", "once"]),
        (json!({ "server": "time", "version": "latest" }), &["422 invalid | version", "exact version"]),
        (json!({ "server": "welcome", "version": "1.0.0" }), &["422 invalid | version", "leave"]),
        (json!({ "server": "time", "name": "My Clock" }), &["422 invalid | name", "use `my-clock`"]),
        (json!({ "server": "time", "name": "" }), &["422 invalid | name", "leave `name` out"]),
        (json!({ "server": "time", "name": "x".repeat(41) }), &["422 invalid | name", "at most 40"]),
        (
            json!({ "server": "time", "name": "welcome" }),
            &["409 conflict | name", "`welcome` exists", "`welcome-2` is free"],
        ),
        (
            json!({ "server": "time", "environment": "loca" }),
            &["422 invalid | environment", "did you mean `local`?"],
        ),
        (
            json!({ "server": "time", "settings": { "timezon": "UTC" } }),
            &["422 invalid | settings.timezon", "did you mean `timezone`?"],
        ),
        (
            json!({ "server": "everything", "settings": { "a": "b" } }),
            &["422 invalid | settings.a", "it takes none"],
        ),
        (
            json!({ "server": "git", "settings": { "repository": "/etc" } }),
            &["422 invalid | settings.repository", "relative path"],
        ),
        (
            json!({ "server": "git", "settings": { "repository": "a/../../b" } }),
            &["422 invalid | settings.repository"],
        ),
        (
            json!({ "server": "time", "settings": { "timezone": "a\u{0}b" } }),
            &["422 invalid | settings.timezone", "NUL"],
        ),
        (
            json!({ "server": "time", "settings": { "timezone": "x" }, "secrets": { "timezone": "y" } }),
            &["422 invalid", "twice"],
        ),
        (
            json!({ "server": "npm:x", "settings": { "1A": "b" } }),
            &["422 invalid | settings.1A", "environment variable"],
        ),
        (
            json!({ "server": "npm:x", "settings": { "LD_PRELOAD": "b" } }),
            &["422 invalid | settings.LD_PRELOAD", "leave it out"],
        ),
        (json!({ "server": "npm:x", "secrets": { "BERTH_KEY": "b" } }), &["422 invalid | secrets.BERTH_KEY"]),
        (
            json!({ "server": "npm:x", "settings": { "NODE_OPTIONS": "b" } }),
            &["422 invalid | settings.NODE_OPTIONS"],
        ),
        (json!({ "server": "npm:x", "settings": { "A": long } }), &["422 invalid | settings", "64 KiB"]),
        (json!({ "server": "npm:x", "args": ["a\u{0}"] }), &["422 invalid | args[0]", "NUL"]),
        (json!({ "server": "pypi:x", "constraints": [""] }), &["422 invalid | constraints[0]", "mcp<2"]),
        (json!({ "name": "x" }), &["422 invalid | server", "missing field"]),
        (json!({ "server": 1 }), &["422 invalid | server", "expected a string"]),
        (json!({ "server": "time", "settings": { "timezone": 1 } }), &["422 invalid | settings.timezone"]),
        (json!({ "server": "time", "sets": {} }), &["422 invalid | sets", "unknown field"]),
        (json!([]), &["422 invalid"]),
    ];
    all_refused(&platform, rows).await;
    platform.stop().await;
}

/// Each body with what its error says: the field among it.
async fn all_refused(platform: &Platform, rows: Vec<(Value, &[&str])>) {
    for (body, parts) in rows {
        let shown = body.to_string().chars().take(100).collect::<String>();
        let error = refused(platform, body).await;
        for part in parts {
            assert!(error.contains(part), "{shown} gives: {error}\nwithout: {part}");
        }
    }
}

#[tokio::test]
async fn limits_and_containers_that_cannot_be_name_the_field() {
    let platform = Platform::start(nobody()).await;
    let rows: Vec<(Value, &[&str])> = vec![
        (
            json!({ "server": "npm:x", "limits": { "memory_mib": 1 } }),
            &["422 invalid | limits.memory_mib", "at least 16"],
        ),
        (
            json!({ "server": "oci:x", "container": {}, "limits": { "memory_mib": 15 } }),
            &["422 invalid | limits.memory_mib", "at least 16"],
        ),
        (
            json!({ "server": "oci:x", "limits": { "processes": 7 } }),
            &["422 invalid | limits.processes", "at least 8"],
        ),
        (
            json!({ "server": "npm:x", "limits": { "cpu_millicores": 9 } }),
            &["422 invalid | limits.cpu_millicores", "at least 10"],
        ),
        (
            json!({ "server": "npm:x", "limits": { "cpu_millicores": 1_000_001 } }),
            &["422 invalid | limits.cpu_millicores", "at most 1000000"],
        ),
        (
            json!({ "server": "npm:x", "limits": { "cpu_millicores": 0.5 } }),
            &["422 invalid | limits.cpu_millicores"],
        ),
        (
            json!({ "server": "npm:x", "limits": { "memory": 1 } }),
            &["422 invalid", "limits", "unknown field `memory`"],
        ),
        (
            json!({ "server": "oci:x", "container": { "colour": "red" } }),
            &["422 invalid | container", "unknown field `colour`"],
        ),
        (
            json!({ "server": "oci:x", "container": { "ports": [{ "host": 80 }] } }),
            &["422 invalid | container.ports[0]", "missing field `container`"],
        ),
        (
            json!({ "server": "oci:x", "container": { "health": { "check": "exec" } } }),
            &["422 invalid | container.health", "unknown variant `exec`"],
        ),
        (
            json!({ "server": "oci:x", "container": {}, "name": "my tool" }),
            &["422 invalid | name", "use `my-tool`"],
        ),
    ];
    all_refused(&platform, rows).await;
    platform.stop().await;
}

#[tokio::test]
async fn bodies_that_are_no_json_are_400() {
    let platform = Platform::start(nobody()).await;
    let uri = format!("http://{}/api/v1/instances", platform.address);
    let rows: [(&str, Headers, u16, &str); 3] = [
        ("{", &[("content-type", "application/json")], 400, "not JSON"),
        ("{}", &[], 400, "Content-Type"),
        ("", &[("content-type", "application/json")], 400, "not JSON"),
    ];
    let pool = hop::pool::Pool::new();
    for (body, headers, status, words) in rows {
        let mut request =
            http::Request::post(&uri).header("authorization", format!("Bearer {}", platform.owner));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(http_body_util::Full::new(bytes::Bytes::from(body))).unwrap();
        let response = pool.send(&hop::address::Address::Tcp(platform.address), request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{body}");
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains(words), "{body:?}");
    }
    platform.stop().await;
}

#[tokio::test]
async fn what_is_deployed_is_shown_without_its_secrets() {
    let platform = Platform::start(nobody()).await;
    let body = json!({
        "server": "npm:@acme/mcp-server-thing@1.2.3",
        "settings": { "REGION": "eu" }, "secrets": { "API_KEY": "hunter2-and-more" },
        "args": ["--fast"]
    });
    let answer = platform.post("/api/v1/instances", body).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.headers["location"], "/api/v1/instances/thing");
    let instance = answer.json();
    assert_eq!(instance["name"], "thing", "the name is made from the package's");
    assert_eq!(instance["status"], "pending_deploy");
    assert_eq!(instance["package"], "npm:@acme/mcp-server-thing@1.2.3");
    assert_eq!(instance["url"], format!("http://{}/mcp/default/thing", platform.address));
    assert_eq!(instance["settings"], json!({ "REGION": "eu" }));
    assert_eq!(instance["secret_names"], json!(["API_KEY"]));
    assert_eq!(instance["catalog_entry"], "00000000-0000-0000-0000-000000000001");

    let again = platform.post("/api/v1/instances", json!({ "server": "npm:@acme/mcp-server-thing" })).await;
    assert_eq!(again.json()["name"], "thing-2", "a made name that is taken gets a number");

    for path in ["/api/v1/instances", "/api/v1/instances/thing", "/api/v1/events"] {
        if path != "/api/v1/events" {
            assert!(!String::from_utf8_lossy(&platform.get(path).await.body).contains("hunter2"));
        }
    }
    // Nor do the files hold it, the write-ahead log among them.
    let files: Vec<_> =
        std::fs::read_dir(platform.data()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(2 <= files.len());
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"hunter2"), "{}", file.display());
    }
    let audit = crate::platform::audit_lines(&platform.store, account(&platform).await, 100).await.unwrap();
    assert!(
        audit
            .iter()
            .any(|line| line.action == "instance.deploy" && line.object_name.as_deref() == Some("thing"))
    );
    assert!(audit.iter().all(|line| !line.detail.to_string().contains("hunter2")));
    platform.stop().await;
}

#[tokio::test]
async fn of_many_deployments_of_one_name_one_wins() {
    let platform = std::sync::Arc::new(Platform::start(nobody()).await);
    let tries = (0..8).map(|_| {
        let platform = std::sync::Arc::clone(&platform);
        tokio::spawn(async move {
            let body = json!({ "server": "welcome", "name": "one" });
            platform.post("/api/v1/instances", body).await.status.as_u16()
        })
    });
    let mut statuses = Vec::new();
    for one in tries.collect::<Vec<_>>() {
        statuses.push(one.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    // Without a name everybody gets one.
    let tries = (0..4).map(|_| {
        let platform = std::sync::Arc::clone(&platform);
        tokio::spawn(
            async move { platform.post("/api/v1/instances", json!({ "server": "time" })).await.status },
        )
    });
    for one in tries.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), StatusCode::CREATED);
    }
}

#[tokio::test]
async fn unknown_names_propose_the_nearest() {
    let platform = Platform::start(nobody()).await;
    for (path, words) in [
        ("/api/v1/instances/welcom", "did you mean `welcome`?"),
        ("/api/v1/instances/Not%20A%20Name", "berth list"),
        ("/api/v1/environments/locl", "did you mean `local`?"),
        ("/api/v1/catalog/fileystem", "did you mean `filesystem`?"),
    ] {
        let answer = platform.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.error().contains(words), "{path}: {}", answer.error());
    }
    let found = platform.get("/api/v1/catalog?search=TIME%20convert").await.json();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["name"], "time");
    let all = platform.send(Some(&platform.owner), Method::GET, "/api/v1/catalog", None).await.json();
    let builtin: Value = serde_json::from_str(include_str!("../../catalog/builtin.json")).unwrap();
    assert_eq!(all.as_array().unwrap().len(), builtin.as_array().unwrap().len());
    let wrong = platform.get("/api/v1/catalog?serch=x").await;
    assert!(wrong.error().starts_with("400 bad_request | serch"), "{}", wrong.error());
    platform.stop().await;
}

async fn names(platform: &Platform) -> Vec<Value> {
    let list = platform.get("/api/v1/instances").await.json();
    list.as_array().unwrap().iter().map(|instance| instance["name"].clone()).collect()
}

async fn account(platform: &Platform) -> domain::ids::AccountId {
    let name = "default".parse().unwrap();
    store::accounts::account_by_name(&platform.store, &name).await.unwrap().unwrap().id
}

#[tokio::test]
async fn what_lies_on_the_machine_takes_an_admin() {
    let platform = Platform::start(nobody()).await;
    let body = || json!({ "server": "file:/srv/my-server" });
    for (role, status) in [(Role::Member, StatusCode::FORBIDDEN), (Role::Admin, StatusCode::CREATED)] {
        let token = platform.person("default", role, Life::Good).await;
        let answer = platform.send(Some(&token), Method::POST, "/api/v1/instances", Some(body())).await;
        assert_eq!(answer.status, status, "{role:?}: {answer:?}");
    }
    let instance = platform.get("/api/v1/instances/my-server").await.json();
    assert_eq!(instance["package"], "file:/srv/my-server");

    // Another host has other files.
    let account =
        store::accounts::account_by_name(&platform.store, &"default".parse().unwrap()).await.unwrap();
    let mut environments = store::environments::list(&platform.store, account.unwrap().id).await.unwrap();
    let row = environments.remove(0);
    let far = json!({ "by": "direct", "dtma": "127.0.0.1:9" });
    let (sealed, hash) = (row.dtma_token_sealed.unwrap(), "0".repeat(64));
    let mut tx = platform.store.begin().await.unwrap();
    store::environments::set_reach(&mut tx, row.id, &far, &sealed, &hash, row.updated_at).await.unwrap();
    tx.commit().await.unwrap();
    let error = refused(&platform, body()).await;
    assert!(error.contains("422 invalid | server") && error.contains("another"), "{error}");
    platform.stop().await;
}
