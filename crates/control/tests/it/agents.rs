//! Agents: made, granted and called as, over the API and at the gateway.

use api::users::Role;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::platform::{Answer, Life, Platform, audit_lines, nobody};
use crate::rules::{ADDRESS, added, platform, told};
use crate::toolbelts::made;

const PATH: &str = "/api/v1/agents";

async fn send(platform: &Platform, by: &str, method: Method, path: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then_some(body);
    platform.send(Some(by), method, &format!("{PATH}{path}"), body).await
}

async fn done(platform: &Platform, method: Method, path: &str, body: Value) -> Value {
    let answer = send(platform, &platform.owner, method.clone(), path, body).await;
    assert!(answer.status.is_success(), "{method} {path}: {}", answer.error());
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

/// An agent's token.
async fn token(platform: &Platform, agent: &str) -> String {
    let made = done(platform, Method::POST, &format!("/{agent}/tokens"), json!({ "name": "ci" })).await;
    made["secret"].as_str().unwrap().to_owned()
}

/// An agent that has `welcome` in its toolbelt, and a token of it.
async fn helper(platform: &Platform) -> String {
    made(platform, PATH, json!({ "name": "helper" })).await;
    done(platform, Method::PUT, "/helper/environments/local", Value::Null).await;
    made(platform, "/api/v1/toolbelts/helper/members", json!({ "instance": "welcome" })).await;
    token(platform, "helper").await
}

fn tools(names: &str) -> String {
    format!(r#"{{"tools":{names},"prompts":{{"allow":[]}},"resources":{{"allow":[]}}}}"#)
}

async fn call(platform: &Platform, token: &str, path: &str) -> Answer {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    platform.send(Some(token), Method::POST, path, Some(call)).await
}

#[tokio::test]
async fn an_agent_calls_what_it_was_granted_and_nothing_else() {
    let platform = platform().await;
    made(&platform, "/api/v1/instances", json!({ "server": "npm:x@1.0.0", "name": "notes" })).await;
    let agent = helper(&platform).await;
    assert!(agent.starts_with("berth_agent_"), "its kind is seen");
    assert_eq!(told(&platform, &agent).await, tools(r#"{"allow":[]}"#));

    // One tool, at once.
    let say = async |tool: &str, is_allowed: bool| {
        let body = json!({ "instance": "welcome", "tool": tool, "is_allowed": is_allowed });
        done(&platform, Method::POST, "/helper/permissions", body).await
    };
    say("echo", true).await;
    assert_eq!(told(&platform, &agent).await, tools(r#"{"allow":["echo"]}"#));
    say("del_*", false).await;
    assert_eq!(told(&platform, &agent).await, tools(r#"{"allow":["echo"],"deny":["del_*"]}"#));

    // The server as a whole.
    let grant = async |body: Value| done(&platform, Method::PUT, "/helper/servers/welcome", body).await;
    let read = grant(json!({})).await;
    assert_eq!(
        (&read["level"], &read["is_active"], &read["is_member"]),
        (&json!("read_only"), &json!(true), &json!(true))
    );
    let expected = r#"{"tools":{"allow":["echo",{"name":"*","hint":"read-only"}],"deny":["del_*"]},"prompts":{},"resources":{}}"#;
    assert_eq!(told(&platform, &agent).await, expected);
    grant(json!({ "level": "custom", "allowed_tools": ["add"] })).await;
    assert_eq!(told(&platform, &agent).await, tools(r#"{"allow":["echo","add"],"deny":["del_*"]}"#));
    let whole = grant(json!({ "level": "full_access", "expires_in_seconds": 3600 })).await;
    assert!(whole["expires_at"].is_i64(), "{whole}");
    assert_eq!(told(&platform, &agent).await, r#"{"tools":{"deny":["del_*"]},"prompts":{},"resources":{}}"#);
    done(&platform, Method::DELETE, "/helper/permissions?instance=welcome&tool=del_*", Value::Null).await;
    assert_eq!(told(&platform, &agent).await, "none");

    // Rules of the account, and those for who made it.
    let deny =
        |subject: Value| json!({ "effect": "deny", "subject": subject, "what": "tool", "pattern": "x" });
    added(&platform, deny(json!({ "user": "admin" }))).await;
    assert_eq!(told(&platform, &agent).await, r#"{"tools":{"deny":["x"]},"prompts":{},"resources":{}}"#);

    // No other instance, and neither another account's nor the API.
    let other = call(&platform, &agent, "/mcp/default/notes").await;
    assert_eq!(other.status, StatusCode::FORBIDDEN, "{other:?}");
    assert_eq!(call(&platform, &agent, "/mcp/other/welcome").await.status, StatusCode::NOT_FOUND);
    for path in ["/api/v1/whoami", "/api/v1/instances", "/api/v1/agents"] {
        let refused = platform.send(Some(&agent), Method::GET, path, None).await;
        let expected = "403 forbidden | - | an agent's token opens MCP addresses alone";
        assert!(refused.error().starts_with(expected), "{path}: {}", refused.error());
    }

    // Hidden, shown again, and without the environment.
    let member = "/api/v1/toolbelts/helper/members/welcome";
    let hide = async |is_active: bool| {
        let body = json!({ "is_active": is_active });
        platform.send(Some(&platform.owner), Method::PATCH, member, Some(body)).await
    };
    assert_eq!(hide(false).await.status, StatusCode::OK);
    assert_eq!(call(&platform, &agent, ADDRESS).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hide(true).await.status, StatusCode::OK);
    assert_eq!(call(&platform, &agent, ADDRESS).await.status, StatusCode::OK);
    let revoked = done(&platform, Method::DELETE, "/helper/environments/local", Value::Null).await;
    assert_eq!(revoked, json!({ "inactive": ["welcome"] }));
    assert_eq!(call(&platform, &agent, ADDRESS).await.status, StatusCode::FORBIDDEN);
    let refused = hide(true).await;
    let expected = "403 forbidden | instance | the agent `helper` has no access to the environment `local`, where `welcome` runs | \
        grant it first: `berth agent grant helper --environment local`";
    assert_eq!(refused.error(), expected);
    platform.stop().await;
}

#[tokio::test]
async fn what_was_granted_for_a_time_ends_with_it() {
    let platform = platform().await;
    let agent = helper(&platform).await;
    let body = json!({ "level": "full_access", "expires_in_seconds": 1 });
    done(&platform, Method::PUT, "/helper/servers/welcome", body).await;
    // The whole second may have passed on a busy machine, so what is asked is that it ends, not that it was there.
    let deadline = std::time::Instant::now() + crate::platform::PATIENCE;
    while told(&platform, &agent).await != tools(r#"{"allow":[]}"#) {
        assert!(std::time::Instant::now() < deadline, "{}", told(&platform, &agent).await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let shown = platform.get(&format!("{PATH}/helper/servers")).await.json();
    assert_eq!(shown[0]["is_active"], false);
    platform.stop().await;
}

#[tokio::test]
async fn tokens_end() {
    let platform = platform().await;
    let agent = helper(&platform).await;
    let listed = platform.get(&format!("{PATH}/helper/tokens")).await.json();
    assert!(agent.starts_with(listed[0]["prefix"].as_str().unwrap()), "{listed}");
    assert!(!listed.to_string().contains(&agent), "its text is shown once");
    assert_eq!(call(&platform, &agent, ADDRESS).await.status, StatusCode::OK);
    assert!(platform.get(&format!("{PATH}/helper/tokens")).await.json()[0]["last_used_at"].is_i64());
    let id = listed[0]["id"].as_str().unwrap();
    done(&platform, Method::DELETE, &format!("/helper/tokens/{id}"), Value::Null).await;
    let refused = call(&platform, &agent, ADDRESS).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{refused:?}");
    assert_eq!(call(&platform, "berth_agent_x", ADDRESS).await.status, StatusCode::UNAUTHORIZED);

    // An agent that goes takes them along.
    let second = token(&platform, "helper").await;
    assert_eq!(call(&platform, &second, ADDRESS).await.status, StatusCode::OK);
    done(&platform, Method::DELETE, "/helper", Value::Null).await;
    assert_eq!(call(&platform, &second, ADDRESS).await.status, StatusCode::UNAUTHORIZED);
    let account = platform.account("default").await;
    let lines = audit_lines(&platform.store, account, 50).await.unwrap();
    for action in [
        "agent.create",
        "toolbelt.create",
        "agent.grant_environment",
        "toolbelt.add",
        "agent_token.create",
        "agent_token.revoke",
        "agent.delete",
    ] {
        assert!(lines.iter().any(|line| line.action == action), "{action}");
    }
    let text = format!("{lines:?}");
    assert!(!text.contains(&agent) && !text.contains(&second), "{text}");
    platform.stop().await;
}

#[tokio::test]
async fn credentials_reach_the_calls_of_their_agent_alone() {
    let platform = Platform::start(nobody()).await;
    let notes = json!({ "server": "npm:x@1.0.0", "name": "notes", "each_caller": ["KEY", "REGION"] });
    let instance = made(&platform, "/api/v1/instances", notes).await["id"].as_str().unwrap().to_owned();
    let mut ids = Vec::new();
    for name in ["helper", "second"] {
        let agent = made(&platform, PATH, json!({ "name": name })).await;
        ids.push(agent["id"].as_str().unwrap().to_owned());
        done(&platform, Method::PUT, &format!("/{name}/environments/local"), Value::Null).await;
        made(&platform, &format!("/api/v1/toolbelts/{name}/members"), json!({ "instance": "notes" })).await;
    }
    let dtma = platform.local.dtma_token.expose().to_owned();
    let asked = async |principal: String| {
        let wanted = json!({ "reason": "values", "principal": principal });
        let body = json!({ "instance": instance, "wanted": wanted });
        let path = "/api/v1/dtma/upstream-token";
        platform.send(Some(&dtma), Method::POST, path, Some(body)).await.json()
    };
    let [helper, second] = &ids[..] else { panic!("two agents") };
    let unset = asked(format!("agent:{helper}")).await;
    assert_eq!(unset["kind"], "unset");
    let why = unset["why"].as_str().unwrap();
    assert!(why.contains("berth agent credential add AGENT notes KEY=@FILE REGION=@FILE"), "{why}");

    let give = async |values: Value, status: &str| {
        let body =
            json!({ "instance": "notes", "values": values, "status": status, "account_identifier": "mary" });
        done(&platform, Method::POST, "/helper/credentials", body).await
    };
    let first = give(json!({ "KEY": "first-secret" }), "active").await;
    assert_eq!(
        (&first["names"], &first["is_used"], &first["credential_type"]),
        (&json!(["KEY"]), &json!(true), &json!("api_key"))
    );
    let region = give(json!({ "REGION": "eu" }), "active").await;
    let values = asked(format!("agent:{helper}")).await;
    assert_eq!(values, json!({ "kind": "values", "values": { "KEY": "first-secret", "REGION": "eu" } }));
    // The newest counts, and what is revoked does not.
    give(json!({ "KEY": "second-secret" }), "active").await;
    give(json!({ "KEY": "third-secret" }), "revoked").await;
    assert_eq!(asked(format!("agent:{helper}")).await["values"]["KEY"], "second-secret");

    // Nobody else's: another agent's, a person's, nobody's.
    let me = platform.get("/api/v1/whoami").await.json()["user"].as_str().unwrap().to_owned();
    let others = [format!("agent:{second}"), format!("user:{me}"), format!("user:{helper}"), "agent:".into()];
    for principal in others {
        assert_eq!(asked(principal.clone()).await["kind"], "unset", "{principal}");
    }
    let listed = platform.get(&format!("{PATH}/helper/credentials")).await;
    assert_eq!(listed.json().as_array().unwrap().len(), 4);
    assert!(!String::from_utf8_lossy(&listed.body).contains("secret"), "{listed:?}");
    let account = platform.account("default").await;
    let lines = format!("{:?}", audit_lines(&platform.store, account, 50).await.unwrap());
    assert!(lines.contains("agent.credential_add") && !lines.contains("first-secret"), "{lines}");

    // Of a member that is hidden, and when one of them is taken away.
    let member = "/api/v1/toolbelts/helper/members/notes";
    for (is_active, kind) in [(false, "unset"), (true, "values")] {
        let body = Some(json!({ "is_active": is_active }));
        platform.send(Some(&platform.owner), Method::PATCH, member, body).await;
        assert_eq!(asked(format!("agent:{helper}")).await["kind"], kind);
    }
    let path = format!("/helper/credentials/{}", region["id"].as_str().unwrap());
    done(&platform, Method::DELETE, &path, Value::Null).await;
    assert_eq!(asked(format!("agent:{helper}")).await["kind"], "unset");
    platform.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let platform = Platform::start(nobody()).await;
    made(
        &platform,
        "/api/v1/instances",
        json!({ "server": "npm:x@1.0.0", "name": "notes", "each_caller": ["KEY"] }),
    )
    .await;
    // A name that is taken as an address is not as an agent's.
    let named = made(&platform, PATH, json!({ "name": "welcome" })).await;
    assert_eq!((&named["toolbelt"], &named["created_by_name"]), (&json!("welcome-2"), &json!("admin")));
    helper(&platform).await;
    let post = Method::POST;
    let put = Method::PUT;
    let delete = Method::DELETE;
    let patch = Method::PATCH;
    let none = Value::Null;
    let permission =
        |instance: &str, tool: &str| json!({ "instance": instance, "tool": tool, "is_allowed": true });
    let credential = |values: Value| json!({ "instance": "welcome", "values": values });
    for (method, path, body, expected) in [
        (&post, "", json!({ "name": "helper" }), "409 conflict | name | an agent `helper` exists already"),
        (&post, "", json!({ "name": "My Agent" }), "422 invalid | name"),
        (&patch, "/helper", json!({ "name": "welcome" }), "409 conflict | name | an agent `welcome`"),
        (
            &patch,
            "/helpr",
            json!({}),
            "404 not_found | - | there is no agent `helpr` in this account | did you mean `helper`?",
        ),
        (&post, "/helper/tokens", json!({ "name": "" }), "422 invalid | name"),
        (
            &post,
            "/helper/tokens",
            json!({ "name": "x", "expires_in_seconds": 0 }),
            "422 invalid | expires_in_seconds",
        ),
        (&delete, "/helper/tokens/x", none.clone(), "404 not_found"),
        (
            &put,
            "/helper/environments/locl",
            none.clone(),
            "404 not_found | - | there is no environment `locl`",
        ),
        (
            &delete,
            "/welcome/environments/local",
            none.clone(),
            "404 not_found | - | the agent `welcome` has no access to `local`",
        ),
        (&put, "/helper/servers/nothing", json!({}), "404 not_found"),
        (&put, "/helper/servers/welcome", json!({ "level": "custom" }), "422 invalid | allowed_tools"),
        (
            &put,
            "/helper/servers/welcome",
            json!({ "level": "read_only", "allowed_tools": ["x"] }),
            "422 invalid | allowed_tools",
        ),
        (
            &put,
            "/helper/servers/welcome",
            json!({ "level": "custom", "allowed_tools": [""] }),
            "422 invalid | allowed_tools",
        ),
        (&put, "/helper/servers/welcome", json!({ "level": "some" }), "422 invalid | level"),
        (
            &delete,
            "/helper/servers/welcome",
            none.clone(),
            "404 not_found | - | the agent `helper` was granted nothing of `welcome`",
        ),
        (
            &post,
            "/helper/permissions",
            permission("notes", "x"),
            "404 not_found | - | `notes` is no member of the toolbelt `helper`",
        ),
        (&post, "/helper/permissions", permission("welcome", ""), "422 invalid | tool"),
        (&post, "/helper/permissions", permission("welcome", "a\nb"), "422 invalid | tool"),
        (&delete, "/helper/permissions?instance=welcome&tool=x", none.clone(), "404 not_found | tool"),
        (&post, "/helper/credentials", credential(json!({})), "422 invalid | values"),
        (&post, "/helper/credentials", credential(json!({ "KEY": "" })), "422 invalid | values.KEY"),
        (
            &post,
            "/helper/credentials",
            credential(json!({ "KEY": "x".repeat(65 << 10) })),
            "422 invalid | values",
        ),
        (&delete, "/helper/credentials/x", none.clone(), "404 not_found"),
    ] {
        let refused = send(&platform, &platform.owner, method.clone(), path, body.clone()).await;
        assert!(refused.error().starts_with(expected), "{method} {path} {body}: {}", refused.error());
    }
    let kept = send(&platform, &platform.owner, delete, "/helper/permissions", none).await;
    assert_eq!(kept.status, StatusCode::BAD_REQUEST);
    let refused =
        platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/toolbelts/helper", None).await;
    let expected =
        "409 conflict | - | `helper` is the toolbelt of the agent `helper`, which cannot be without";
    assert!(refused.error().starts_with(expected), "{}", refused.error());

    platform.stop().await;
}

#[tokio::test]
async fn what_an_agent_brings_is_what_its_servers_ask_for() {
    let platform = Platform::start(nobody()).await;
    let notes = json!({ "server": "npm:x@1.0.0", "name": "notes", "each_caller": ["KEY"] });
    made(&platform, "/api/v1/instances", notes).await;
    helper(&platform).await;
    let (post, put) = (Method::POST, Method::PUT);
    let permission =
        |instance: &str, tool: &str| json!({ "instance": instance, "tool": tool, "is_allowed": true });
    let credential = |values: Value| json!({ "instance": "welcome", "values": values });
    // Callers bring names that they know of.
    done(&platform, put, "/helper/environments/local", Value::Null).await;
    made(&platform, "/api/v1/toolbelts/helper/members", json!({ "instance": "notes" })).await;
    let body = json!({ "instance": "notes", "values": { "KEYS": "x" } });
    let refused = send(&platform, &platform.owner, post.clone(), "/helper/credentials", body).await;
    assert!(refused.error().contains("did you mean `KEY`?"), "{}", refused.error());
    // Where they bring nothing it is kept, and said that the server does not get it.
    let unused =
        done(&platform, post.clone(), "/helper/credentials", credential(json!({ "ANY": "x" }))).await;
    assert_eq!(unused["is_used"], false);

    // What would not fit into a call's header.
    let mut refused = None;
    for at in 0..100 {
        let tool = format!("{at:03}{}", "x".repeat(200));
        let answer = send(
            &platform,
            &platform.owner,
            post.clone(),
            "/helper/permissions",
            permission("welcome", &tool),
        )
        .await;
        if !answer.status.is_success() {
            refused = Some((at, answer.error()));
            break;
        }
    }
    let (at, error) = refused.unwrap();
    assert!(10 < at && error.starts_with("422 invalid | tool | the tools that are named"), "{at} {error}");
    platform.stop().await;
}

#[tokio::test]
async fn an_agent_is_its_makers() {
    let platform = Platform::start(nobody()).await;
    helper(&platform).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let member = platform.person("default", Role::Member, Life::Good).await;
    let admin = platform.person("default", Role::Admin, Life::Good).await;
    let own = send(&platform, &member, Method::POST, "", json!({ "name": "own" })).await;
    assert_eq!(own.status, StatusCode::CREATED, "{own:?}");
    let id = platform.get(&format!("{PATH}/helper")).await.json()["id"].as_str().unwrap().to_owned();
    let token = json!({ "name": "x" });
    for (by, method, path, body, status) in [
        (&stranger, Method::GET, "/helper".to_owned(), Value::Null, 404),
        (&stranger, Method::GET, format!("/{id}"), Value::Null, 404),
        (&stranger, Method::POST, format!("/{id}/tokens"), token.clone(), 404),
        (&stranger, Method::DELETE, format!("/{id}"), Value::Null, 404),
        (&viewer, Method::GET, "/helper".to_owned(), Value::Null, 200),
        (&viewer, Method::POST, "/helper/tokens".to_owned(), token.clone(), 403),
        (&member, Method::POST, "/helper/tokens".to_owned(), token.clone(), 403),
        (&member, Method::POST, "/own/tokens".to_owned(), token.clone(), 201),
        (&admin, Method::POST, "/own/tokens".to_owned(), token.clone(), 201),
        (&admin, Method::PATCH, "/own".to_owned(), json!({ "name": "mine", "description": "x" }), 200),
        (&member, Method::DELETE, "/mine".to_owned(), Value::Null, 204),
    ] {
        let answer = send(&platform, by, method.clone(), &path, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {body}: {answer:?}");
    }
    // Its toolbelt is a part of it.
    let body = Some(json!({ "mode": "search" }));
    let path = "/api/v1/toolbelts/helper";
    let refused = platform.send(Some(&member), Method::PATCH, path, body.clone()).await;
    assert!(refused.error().contains("was made by `admin`"), "{}", refused.error());
    assert_eq!(platform.send(Some(&admin), Method::PATCH, path, body).await.status, StatusCode::OK);
    // A token that is for less makes none that is for more.
    for (scopes, status) in [(&["deploy"][..], 403), (&["admin"], 403), (&["admin", "mcp:call"], 201)] {
        let scoped = platform.scoped(&platform.owner, scopes).await;
        let answer = send(&platform, &scoped, Method::POST, "/helper/tokens", token.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{scopes:?}: {answer:?}");
    }
    platform.stop().await;
}
