//! Toolbelts: made, changed and filled over the API. What the running toolbelt sees of members is written here by hand.

use api::users::Role;
use domain::names::InstanceName;
use domain::toolbelts::Kind;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::toolbelts::{FeatureRow, ItemRow};

use crate::platform::{Answer, Life, Platform, audit_lines, nobody, now};

const PATH: &str = "/api/v1/toolbelts";

async fn with_belt() -> Platform {
    let platform = Platform::start(nobody()).await;
    made(&platform, PATH, json!({ "name": "belt" })).await;
    platform
}

pub(crate) async fn made(platform: &Platform, path: &str, body: Value) -> Value {
    let answer = platform.post(path, body).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.error());
    answer.json()
}

async fn send(platform: &Platform, method: Method, path: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then_some(body);
    platform.send(Some(&platform.owner), method, path, body).await
}

pub(crate) async fn items(platform: &Platform, belt: &str) -> Vec<ItemRow> {
    let account = platform.account("default").await;
    let belt: InstanceName = belt.parse().unwrap();
    let row = store::toolbelts::find(&platform.store, account, &belt).await.unwrap().unwrap();
    store::toolbelts::items(&platform.store, row.id).await.unwrap()
}

pub(crate) fn feature(item: &ItemRow, kind: Kind, name: &str, shown: &str, seen: Option<&str>) -> FeatureRow {
    FeatureRow {
        item: item.id,
        toolbelt: item.toolbelt,
        kind,
        name: name.to_owned(),
        shown_name: shown.to_owned(),
        description: None,
        is_on: true,
        approved_hash: "1".to_owned(),
        approved_json: json!({ "name": name, "description": format!("{name} of old") }).to_string(),
        seen_hash: seen.map(str::to_owned),
        seen_json: seen.map(|_| json!({ "name": name, "description": "new" }).to_string()),
        first_seen_at: now(),
        seen_at: now(),
    }
}

pub(crate) async fn see(platform: &Platform, rows: &[FeatureRow]) {
    let mut tx = platform.store.begin().await.unwrap();
    store::toolbelts::put_features(&mut tx, rows).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn from_the_first_member_to_the_end() {
    let platform = Platform::start(nobody()).await;
    let body = json!({ "name": "belt", "description": " for all ", "mode": "search" });
    let belt = made(&platform, PATH, body).await;
    let url = format!("http://{}/mcp/default/belt", platform.address);
    assert_eq!((&belt["url"], &belt["description"]), (&json!(url), &json!("for all")));
    assert_eq!(
        (&belt["mode"], &belt["on_change"], &belt["members"]),
        (&json!("search"), &json!("keep"), &json!([]))
    );

    let member = made(&platform, &format!("{PATH}/belt/members"), json!({ "instance": "welcome" })).await;
    assert_eq!((&member["instance"], &member["is_active"]), (&json!("welcome"), &json!(true)));
    let of_member = format!("{PATH}/belt/members/welcome");
    let hidden = send(&platform, Method::PATCH, &of_member, json!({ "is_active": false })).await;
    assert_eq!(hidden.json()["is_active"], false, "{hidden:?}");
    let change = json!({ "description": "", "on_change": "withhold" });
    let changed = send(&platform, Method::PATCH, &format!("{PATH}/belt"), change).await.json();
    assert_eq!((&changed["description"], &changed["mode"]), (&Value::Null, &json!("search")));
    assert_eq!((&changed["on_change"], &changed["generation"]), (&json!("withhold"), &json!(4)));
    assert_eq!(changed["members"][0]["is_active"], false);
    assert_eq!(platform.get(PATH).await.json(), json!([changed]));
    // By its id too, which callers of the older platform know.
    let by_id = platform.get(&format!("{PATH}/{}", belt["id"].as_str().unwrap())).await;
    assert_eq!(by_id.json(), changed);

    // An instance that goes takes its place along.
    let gone = send(&platform, Method::DELETE, "/api/v1/instances/welcome", Value::Null).await;
    assert_eq!(gone.status, StatusCode::ACCEPTED, "{gone:?}");
    let left = platform.get(&format!("{PATH}/belt")).await.json();
    assert_eq!((&left["members"], &left["generation"]), (&json!([]), &json!(5)));
    let again = platform.post(&format!("{PATH}/belt/members"), json!({ "instance": "welcome" })).await;
    assert!(again.error().contains("`welcome` is being removed"), "{}", again.error());

    let removed = send(&platform, Method::DELETE, &format!("{PATH}/belt"), Value::Null).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_eq!(platform.get(PATH).await.json(), json!([]));
    let account = platform.account("default").await;
    let lines = audit_lines(&platform.store, account, 50).await.unwrap();
    for action in ["create", "add", "activate", "set", "delete"] {
        let action = format!("toolbelt.{action}");
        assert_eq!(lines.iter().filter(|line| line.action == action).count(), 1, "{action}");
    }
    platform.stop().await;
}

#[tokio::test]
async fn what_members_have_is_renamed_described_hidden_and_approved() {
    let platform = with_belt().await;
    made(&platform, "/api/v1/instances", json!({ "server": "npm:x@1.0.0", "name": "notes" })).await;
    for instance in ["welcome", "notes"] {
        made(&platform, &format!("{PATH}/belt/members"), json!({ "instance": instance })).await;
    }
    let [welcome, notes] = &items(&platform, "belt").await[..] else { panic!("two members") };
    see(
        &platform,
        &[
            feature(welcome, Kind::Tool, "echo", "echo", None),
            feature(notes, Kind::Tool, "echo", "notes_echo", Some("2")),
            feature(notes, Kind::Tool, "add", "add", Some("3")),
            feature(notes, Kind::Prompt, "ask", "ask", None),
            feature(notes, Kind::Resource, "file:///a", "file:///a", None),
        ],
    )
    .await;
    let features = format!("{PATH}/belt/features");
    let names = async |query: &str| -> Vec<String> {
        let all = platform.get(&format!("{features}{query}")).await.json();
        all.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("").await, ["ask", "file:///a", "add", "echo", "notes_echo"]);
    assert_eq!(names("?instance=welcome").await, ["echo"]);
    assert_eq!(names("?kind=prompt").await, ["ask"]);
    assert_eq!(names("?changed=true").await, ["add", "notes_echo"]);
    let shown = platform.get(&format!("{PATH}/belt")).await.json();
    let counts =
        |at: usize| ["tools", "prompts", "resources", "changed"].map(|key| shown["members"][at][key].clone());
    assert_eq!(counts(0), [1, 0, 0, 0].map(|count| json!(count)));
    assert_eq!(counts(1), [2, 1, 1, 2].map(|count| json!(count)));

    let set = async |body: Value| send(&platform, Method::PATCH, &features, body).await;
    let body = json!({ "name": "notes_echo", "rename": "say", "description": "Says it.", "is_on": false });
    let changed = set(body).await.json();
    assert_eq!(
        [
            &changed["name"],
            &changed["own_name"],
            &changed["instance"],
            &changed["description"],
            &changed["is_on"]
        ],
        [&json!("say"), &json!("echo"), &json!("notes"), &json!("Says it."), &json!(false)]
    );
    assert_eq!(changed["own_description"], "echo of old");
    let own = set(json!({ "name": "say", "description": "" })).await.json();
    assert_eq!((&own["description"], &own["is_on"]), (&Value::Null, &json!(false)));
    for (body, expected) in [
        (
            json!({ "name": "say", "rename": "echo" }),
            "409 conflict | rename | `echo` is the tool `echo` of `welcome` already",
        ),
        (
            json!({ "name": "sayy" }),
            "404 not_found | name | the toolbelt `belt` has no tool `sayy` | did you mean `say`?",
        ),
        (json!({ "name": "say", "rename": "a b" }), "422 invalid | rename"),
        (json!({ "name": "say", "rename": "" }), "422 invalid | rename"),
        (json!({ "name": "say", "rename": "x".repeat(129) }), "422 invalid | rename"),
        (json!({ "name": "say", "rename": "search_tools" }), "422 invalid | rename"),
        (json!({ "name": "say", "description": "x".repeat(10_001) }), "422 invalid | description"),
        (json!({ "kind": "resource", "name": "file:///a", "rename": "b" }), "422 invalid | rename"),
        (json!({ "kind": "file", "name": "x" }), "422 invalid | kind"),
        (json!({ "name": "say", "more": 1 }), "422 invalid | more"),
    ] {
        let refused = set(body.clone()).await;
        assert!(refused.error().starts_with(expected), "{body}: {}", refused.error());
    }

    let change = platform.get(&format!("{features}?changed=true")).await.json();
    let change = &change.as_array().unwrap().iter().find(|one| one["name"] == "say").unwrap()["change"];
    assert_eq!(change["hash"], "2");
    assert!(change["approved"].as_str().unwrap().contains("of old"), "{change}");
    assert!(change["seen"].as_str().unwrap().contains("new"), "{change}");
    let approve =
        async |body: Value| send(&platform, Method::POST, &format!("{PATH}/belt/approve"), body).await;
    for (body, expected) in [
        (json!({ "name": "say", "hash": "1" }), "409 conflict | hash | `say` has changed again"),
        (json!({ "name": "echo" }), "409 conflict | name | `echo` is as it was approved"),
        (json!({}), "422 invalid | name"),
        (json!({ "name": "say", "instance": "notes" }), "422 invalid | name"),
        (json!({ "instance": "nothing" }), "404 not_found"),
    ] {
        let refused = approve(body.clone()).await;
        assert!(refused.error().starts_with(expected), "{body}: {}", refused.error());
    }
    let approved = approve(json!({ "name": "say", "hash": "2" })).await.json();
    assert_eq!((&approved[0]["own_description"], &approved[0]["change"]), (&json!("new"), &Value::Null));
    let approved = approve(json!({ "instance": "notes" })).await.json();
    assert_eq!((approved.as_array().unwrap().len(), &approved[0]["name"]), (1, &json!("add")));
    assert_eq!(names("?changed=true").await, Vec::<String>::new());
    platform.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let platform = with_belt().await;
    let tool = json!({ "server": "oci:docker.io/library/redis:8", "name": "tool", "container": {} });
    made(&platform, "/api/v1/instances", tool).await;
    let members = format!("{PATH}/belt/members");
    for (path, body, expected) in [
        (
            PATH,
            json!({ "name": "belt" }),
            "409 conflict | name | a toolbelt `belt` exists already, and a name is one address | `belt-2` is free",
        ),
        (
            PATH,
            json!({ "name": "welcome" }),
            "409 conflict | name | an instance `welcome` exists already, and a name is one address | `welcome-2` is free",
        ),
        (PATH, json!({ "name": "My Belt" }), "422 invalid | name"),
        (PATH, json!({ "name": "01890a5d-ac96-774b-bcce-b302099a8057" }), "422 invalid | name"),
        (PATH, json!({ "name": "x", "mode": "tree" }), "422 invalid | mode"),
        (PATH, json!({ "name": "x", "description": "x".repeat(1001) }), "422 invalid | description"),
        (PATH, json!({}), "422 invalid | name"),
        (&members, json!({ "instance": "belt" }), "422 invalid | instance | `belt` is a toolbelt"),
        (&members, json!({ "instance": "tool" }), "422 invalid | instance | `tool` is a container tool"),
        (
            &members,
            json!({ "instance": "welcom" }),
            "404 not_found | - | there is no instance `welcom` in this account | did you mean `welcome`?",
        ),
        (
            "/api/v1/toolbelts/bel/members",
            json!({ "instance": "welcome" }),
            "404 not_found | - | there is no toolbelt `bel` in this account | did you mean `belt`?",
        ),
        (
            "/api/v1/instances",
            json!({ "server": "npm:x@1.0.0", "name": "belt" }),
            "409 conflict | name | a toolbelt `belt` exists already",
        ),
    ] {
        let refused = platform.post(path, body.clone()).await;
        assert!(refused.error().starts_with(expected), "{path} {body}: {}", refused.error());
    }
    made(&platform, &members, json!({ "instance": "welcome" })).await;
    let again = platform.post(&members, json!({ "instance": "welcome" })).await;
    assert!(again.error().starts_with("409 conflict | instance"), "{}", again.error());
    // A name that nobody gave is one that is free.
    let free = made(&platform, "/api/v1/instances", json!({ "server": "npm:belt@1.0.0" })).await;
    assert_eq!(free["name"], "belt-2");

    // Nothing of another account's.
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let theirs = platform.send(Some(&stranger), Method::POST, PATH, Some(json!({ "name": "theirs" }))).await;
    assert_eq!(theirs.status, StatusCode::CREATED);
    let welcome = platform.get("/api/v1/instances/welcome").await.json()["id"].as_str().unwrap().to_owned();
    let belt = platform.get(&format!("{PATH}/belt")).await.json()["id"].as_str().unwrap().to_owned();
    for (by, method, path, body, status) in [
        (&stranger, Method::GET, format!("{PATH}/belt"), Value::Null, 404),
        (&stranger, Method::GET, format!("{PATH}/{belt}"), Value::Null, 404),
        (&stranger, Method::DELETE, format!("{PATH}/{belt}"), Value::Null, 404),
        (&stranger, Method::POST, format!("{PATH}/theirs/members"), json!({ "instance": "welcome" }), 404),
        (&stranger, Method::POST, format!("{PATH}/theirs/members"), json!({ "instance": welcome }), 404),
        (&viewer, Method::GET, format!("{PATH}/belt"), Value::Null, 200),
        (&viewer, Method::PATCH, format!("{PATH}/belt"), json!({ "mode": "search" }), 403),
        (&viewer, Method::DELETE, format!("{PATH}/belt/members/welcome"), Value::Null, 403),
    ] {
        let sent = (!body.is_null()).then(|| body.clone());
        let answer = platform.send(Some(by), method.clone(), &path, sent).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {body}");
    }
    assert_eq!(items(&platform, "belt").await.len(), 1);
    platform.stop().await;
}
