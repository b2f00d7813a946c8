//! `toolboxes-user`, `toolbox-dtma-console` and `digitalocean-options`, as the older front end calls them.

use api::users::Role;
use http::Method;
use serde_json::{Value, json};
use testkit::digitalocean::{Config, Fake, TOKEN};

use super::supabase::{User, platform};
use crate::environments::environment_until;
use crate::platform::{Life, Platform, nobody};

#[tokio::test]
async fn a_host_that_is_there_is_a_toolbox() {
    let platform = platform(|_| {}).await;
    let (ada, bob) = (User::new(&platform, "ada"), User::new(&platform, "bob"));
    assert_eq!(ada.get("toolboxes-user").await, json!([]));
    let id = ada.host("far").await;
    let all = ada.get("toolboxes-user").await;
    let row = &all[0];
    let who = ada.get("/api/v1/whoami").await;
    for (column, value) in [
        ("id", json!(id)),
        ("name", json!("far")),
        ("user_id", who["user"].clone()),
        ("status", json!("awaiting_heartbeat")),
        ("public_ip_address", json!("127.0.0.1")),
        ("region_slug", json!("")),
        ("do_droplet_id", Value::Null),
        ("last_heartbeat_at", Value::Null),
    ] {
        assert_eq!(row[column], value, "{column} of {row}");
    }
    assert!(row["provisioning_error_message"].as_str().unwrap().contains("no heartbeat yet"), "{row}");
    assert!(row["created_at"].as_str().unwrap().ends_with('Z'), "{row}");
    let one = format!("toolboxes-user/{id}");
    assert_eq!(&ada.get(&one).await, row);
    assert_eq!(&ada.post(200, &format!("{one}/refresh-status"), json!({})).await, row);

    // Its host is not there, and nobody says that it is.
    let status = json!({ "toolboxId": id, "action": "status" });
    let silent = ada.post(200, "toolbox-dtma-console", status.clone()).await;
    assert_eq!((&silent["success"], &silent["connection_status"]), (&json!(false), &json!("failed")));
    assert!(silent["error"].as_str().unwrap().contains("its DTMA does not answer"), "{silent}");
    for action in ["restart", "redeploy"] {
        let body = json!({ "toolboxId": id, "action": action });
        let refused = ada.refusal(Method::POST, "toolbox-dtma-console", Some(body)).await;
        assert!(refused.starts_with("503 | - | toolbox `far`: its DTMA does not answer"), "{refused}");
    }

    // Somebody else finds nothing, and changes nothing.
    assert_eq!(bob.get("toolboxes-user").await, json!([]));
    for (method, path, body) in [
        (Method::GET, one.clone(), None),
        (Method::DELETE, one.clone(), None),
        (Method::POST, format!("{one}/refresh-status"), None),
        (Method::POST, "toolbox-dtma-console".to_owned(), Some(status)),
    ] {
        let refused = bob.refusal(method.clone(), &path, body).await;
        assert!(refused.starts_with("404 | - | there is no toolbox"), "{method} {path}: {refused}");
    }
    assert_eq!(ada.get("toolboxes-user").await.as_array().unwrap().len(), 1);
    ada.expect(204, Method::DELETE, &one, None).await;
    assert_eq!(ada.get("toolboxes-user").await, json!([]));
    platform.stop().await;
}

#[tokio::test]
async fn a_toolbox_is_a_droplet_that_is_ordered_and_given_up() {
    let fake = Fake::start(Config::default());
    let settings = crate::droplets::settings(&fake.url(), TOKEN);
    let platform = platform(|config| config.digitalocean = Some(settings)).await;
    let (ada, bob) = (User::new(&platform, "ada"), User::new(&platform, "bob"));
    let regions = ada.get("digitalocean-options/regions").await;
    let region = regions.as_array().unwrap().iter().find(|one| one["slug"] == "fra1").unwrap();
    assert_eq!(region["available"], true);
    assert!(region["sizes"].as_array().unwrap().contains(&json!("s-1vcpu-1gb")), "{region}");
    let sizes = ada.get("digitalocean-options/sizes").await;
    let size = sizes.as_array().unwrap().iter().find(|one| one["slug"] == "s-1vcpu-1gb").unwrap();
    assert_eq!((&size["memory"], &size["vcpus"]), (&json!(1024), &json!(1)), "{size}");

    let order = json!({
        "name": "My Toolbox", "regionSlug": "fra1", "sizeSlug": "s-1vcpu-1gb", "description": "for notes",
        "imageSlug": "ubuntu-24-04-x64",
    });
    let row = ada.post(201, "toolboxes-user", order.clone()).await;
    for (column, value) in [
        ("name", "my-toolbox"),
        ("status", "pending_provision"),
        ("region_slug", "fra1"),
        ("size_slug", "s-1vcpu-1gb"),
        ("image_slug", "ubuntu-24-04-x64"),
        ("do_droplet_name", "berth-my-toolbox"),
        ("description", "for notes"),
    ] {
        assert_eq!(row[column], value, "{column} of {row}");
    }
    let again = ada.refusal(Method::POST, "toolboxes-user", Some(order)).await;
    assert!(again.starts_with("409 | name | an environment `my-toolbox` exists already"), "{again}");
    let one = format!("toolboxes-user/{}", row["id"].as_str().unwrap());
    let deadline = std::time::Instant::now() + crate::platform::PATIENCE;
    let made = loop {
        let row = ada.post(200, &format!("{one}/refresh-status"), json!({})).await;
        if row["status"] == "awaiting_heartbeat" {
            break row;
        }
        assert!(std::time::Instant::now() < deadline, "{row}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    let machine = fake.machines().remove(0);
    assert_eq!(made["do_droplet_id"], json!(machine.id));
    assert_eq!(bob.get("toolboxes-user").await, json!([]));
    let refused = bob.refusal(Method::DELETE, &one, None).await;
    assert!(refused.starts_with("404"), "{refused}");
    assert_eq!(fake.machines().len(), 1, "nobody else destroys it");
    ada.expect(204, Method::DELETE, &one, None).await;
    let deadline = std::time::Instant::now() + crate::platform::PATIENCE;
    while ada.ask(Method::GET, &one, None).await.status != 404 {
        assert!(std::time::Instant::now() < deadline, "it stays");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(fake.machines(), []);
    platform.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_toolbox() {
    let platform = Platform::start(nobody()).await;
    let owner = User::with(&platform, &platform.owner);
    let local = environment_until(&platform, "local", |one| one["id"].is_string()).await;
    let local = format!("toolboxes-user/{}", local["id"].as_str().unwrap());
    let post = |path: &str, body: Value| (Method::POST, path.to_owned(), Some(body));
    let order = |change: fn(&mut Value)| {
        let mut body = json!({ "name": "far", "regionSlug": "fra1", "sizeSlug": "s-1vcpu-1gb" });
        change(&mut body);
        post("toolboxes-user", body)
    };
    for (what, (method, path, body), words) in [
        ("no provider", order(|_| {}), "503 | kind | this control plane has no DigitalOcean token"),
        (
            "no region",
            order(|body| drop(body.as_object_mut().unwrap().remove("regionSlug"))),
            "422 | regionSlug",
        ),
        ("no name", order(|body| body["name"] = json!("")), "503"),
        ("a number", order(|body| body["name"] = json!(7)), "422 | name"),
        ("another field", order(|body| body["colour"] = json!("red")), "422 | colour"),
        (
            "a long description",
            order(|body| body["description"] = json!("x".repeat(501))),
            "422 | description",
        ),
        ("a word", (Method::GET, "toolboxes-user/far".to_owned(), None), "400 | id | `far` is not the UUID"),
        (
            "this machine",
            (Method::DELETE, local, None),
            "409 | - | `local` is the control plane's own machine",
        ),
        ("no action", post("toolbox-dtma-console", json!({"toolboxId": "x"})), "422 | action"),
        (
            "another action",
            post("toolbox-dtma-console", json!({"toolboxId": "x", "action": "ssh"})),
            "422 | action | `ssh` is no action | it is `status`, `restart` or `redeploy`",
        ),
        ("no function", post("ssh-command-executor", json!({})), "404 | - | there is no function"),
        ("options of nothing", (Method::GET, "digitalocean-options/images".to_owned(), None), "404"),
    ] {
        let refused = owner.refusal(method, &path, body).await;
        assert!(refused.starts_with(words), "{what}: {refused}");
    }
    let raw = platform.send_raw("/functions/v1/toolboxes-user", "{").await;
    assert_eq!((raw.status.as_u16(), raw.json()["success"].clone()), (400, json!(false)), "{raw:?}");
    let wrong = owner.ask(Method::PATCH, "toolboxes-user", None).await;
    assert_eq!(wrong.status, 405, "{wrong:?}");
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let seen = User::with(&platform, &viewer).get("toolboxes-user").await;
    assert_eq!(seen[0]["name"], "local");
    platform.stop().await;
}
