//! `mcp-template-manager`: what is registered becomes an entry of the catalog, and is deployed as any other.

use http::Method;
use serde_json::{Value, json};

use super::supabase::{User, platform};

fn notes() -> Value {
    json!({
        "name": "notes", "displayName": "Notes of a team", "description": "Keeps what was said.",
        "dockerImage": "ghcr.io/owner/notes:1", "category": "productivity", "resourceHint": "light",
        "environmentVariables": {"NOTES_LANGUAGE": "en"}, "author": "Ada", "tags": ["writing"],
    })
}

#[tokio::test]
async fn a_template_from_its_registration_to_its_end() {
    let platform = platform(|_| {}).await;
    let (operator, ada) = (User::with(&platform, &platform.owner), User::new(&platform, "ada"));
    let made = operator.post(201, "mcp-template-manager", notes()).await;
    assert_eq!(made["validation"]["warnings"], json!([]));
    let advice = made["validation"]["recommendations"].as_array().unwrap();
    assert!(advice.iter().any(|one| one.as_str().unwrap().starts_with("a version")), "{made}");
    let row = &made["data"];
    let id = row["id"].as_str().unwrap().to_owned();
    for (column, value) in [
        ("tool_name", json!("notes")),
        ("display_name", json!("Notes of a team")),
        ("category", json!("productivity")),
        ("docker_image", json!("ghcr.io/owner/notes:1")),
        ("version", json!("1.0.0")),
        ("is_mcp_server", json!(true)),
        ("is_official", json!(false)),
    ] {
        assert_eq!(row[column], value, "{column} of {row}");
    }
    let metadata = &row["mcp_server_metadata"];
    assert_eq!((&metadata["resourceHint"], &metadata["author"]), (&json!("light"), &json!("Ada")));
    assert_eq!(metadata["environmentVariables"], json!({"NOTES_LANGUAGE": "en"}));
    assert_eq!(metadata["tags"], json!(["writing"]));

    // Everybody who is signed in finds it, and deploys it.
    let listed = ada.get("mcp-template-manager?category=productivity").await;
    assert!(listed["data"].as_array().unwrap().contains(row), "{listed}");
    let others = ada.get("mcp-template-manager?category=data").await;
    assert!(!others.to_string().contains(&id), "{others}");
    let tools = format!("toolbox-tools/{}/tools", ada.host("far").await);
    let deploy = |name: &str| json!({"toolCatalogId": id, "instanceNameOnToolbox": name});
    let deployed = ada.post(201, &tools, deploy("notes")).await;
    assert_eq!(
        (&deployed["tool_catalog_id"], &deployed["image"]),
        (&json!(id), &json!("ghcr.io/owner/notes:1"))
    );

    // A change is another version.
    let one = format!("mcp-template-manager/{id}");
    let change = json!({"dockerImage": "ghcr.io/owner/notes:2", "category": "data"});
    let changed = operator.expect(200, Method::PUT, &one, Some(change)).await;
    let row = &changed["data"];
    assert_eq!((&row["version"], &row["docker_image"]), (&json!("1.0.1"), &json!("ghcr.io/owner/notes:2")));
    assert_eq!((&row["category"], &row["display_name"]), (&json!("data"), &json!("Notes of a team")));
    let same = operator.expect(200, Method::PUT, &one, Some(json!({"category": "data"}))).await;
    assert_eq!(same["data"]["version"], "1.0.1", "what changes nothing is no version");
    for (what, body, words) in [
        ("another name", json!({"name": "other"}), "422 | name | the name of a template stays"),
        ("a version that is there", json!({"version": "1.0.0", "category": "development"}), "422 | version"),
        ("a category that is none", json!({"category": "fun"}), "422 | category"),
    ] {
        let refused = operator.refusal(Method::PUT, &one, Some(body)).await;
        assert!(refused.starts_with(words), "{what}: {refused}");
    }

    operator.expect(200, Method::DELETE, &one, None).await;
    assert!(!ada.get("mcp-template-manager").await.to_string().contains(&id), "it is listed no more");
    let refused = ada.refusal(Method::POST, &tools, Some(deploy("again"))).await;
    assert!(refused.starts_with("422 | toolCatalogId"), "{refused}");
    assert_eq!(ada.get(&tools).await.as_array().unwrap().len(), 1, "what was deployed goes on");
    let gone = operator.refusal(Method::DELETE, &one, None).await;
    assert!(gone.starts_with("404"), "{gone}");
    platform.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_template() {
    let platform = platform(|_| {}).await;
    let operator = User::with(&platform, &platform.owner);
    let with = |field: &str, value: Value| {
        let mut body = notes();
        body[field] = value;
        body
    };
    for (body, words) in [
        (
            with("name", json!("Notes!")),
            "422 | name | a template's name has 1 to 50 small letters, digits and hyphens | use `notes`",
        ),
        (with("name", json!("n".repeat(51))), "422 | name"),
        (with("name", Value::Null), "422 | name"),
        (with("displayName", json!(" ")), "422 | displayName"),
        (with("displayName", json!("n".repeat(101))), "422 | displayName"),
        (with("description", json!("n".repeat(501))), "422 | description"),
        (with("dockerImage", json!("Not An Image")), "422 | dockerImage"),
        (with("dockerImage", Value::Null), "422 | dockerImage"),
        (with("category", json!("fun")), "422 | category | `category` is one of productivity, development"),
        (with("resourceHint", json!("huge")), "422 | resourceHint"),
        (with("environmentVariables", json!(["A=B"])), "422 | environmentVariables"),
        (with("colour", json!("red")), "422 | colour"),
    ] {
        let refused = operator.refusal(Method::POST, "mcp-template-manager", Some(body.clone())).await;
        assert!(refused.starts_with(words), "{body}: {refused}");
    }
    let made = operator.post(201, "mcp-template-manager", with("dockerImage", json!("owner/notes"))).await;
    assert!(made["validation"]["warnings"][0].as_str().unwrap().contains("has no tag"), "{made}");
    let taken = operator.refusal(Method::POST, "mcp-template-manager", Some(notes())).await;
    assert!(taken.starts_with("409 | name | a template `notes` was registered before"), "{taken}");
    let all = operator.get("mcp-template-manager").await;
    let builtin = all["data"].as_array().unwrap().iter().find(|one| one["tool_name"] == "time").unwrap();
    let one = format!("mcp-template-manager/{}", builtin["id"].as_str().unwrap());
    let refused = operator.refusal(Method::DELETE, &one, None).await;
    assert!(refused.starts_with("409 | - | `time` is part of Berth"), "{refused}");
    let ada = User::new(&platform, "ada");
    let refused = ada.refusal(Method::POST, "mcp-template-manager", Some(with("name", json!("mine")))).await;
    assert!(refused.starts_with("403"), "{refused}");
    platform.stop().await;
}
