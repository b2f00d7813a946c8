//! Pages of an account, without a script: each as nobody, from another account, as a viewer, as an owner; and those of who may do what.

use std::collections::BTreeSet;

use api::users::Role;
use http::{Method, StatusCode};
use serde_json::json;

use crate::browser::{Browser, csrf, location, text};
use crate::platform::{Answer, Life, Platform, audit_lines, nobody};

const PASSWORD: &str = "correct horse battery staple";
/// What is read as markup where somebody forgot that it is text.
const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'><script>alert(1)</script>";

/// A page: its pattern, a path of it, what a viewer gets, what an owner gets, and what a viewer gets who posts an empty form to it (0: it takes
/// no form).
type Row = (&'static str, &'static str, u16, u16, u16);

/// Every page of an account. 405: it takes forms alone.
const ROWS: &[Row] = &[
    ("/a/{account}", "/a/default", 200, 200, 0),
    ("/a/{account}/live", "", 0, 0, 0),
    ("/a/{account}/instances", "/a/default/instances", 200, 200, 403),
    ("/a/{account}/marketplace", "/a/default/marketplace", 200, 200, 0),
    ("/a/{account}/marketplace/{*name}", "/a/default/marketplace/time", 200, 200, 0),
    ("/a/{account}/deploy", "/a/default/deploy", 403, 200, 403),
    ("/a/{account}/deploy/{*name}", "/a/default/deploy/time", 403, 200, 403),
    ("/a/{account}/instances/{name}", "/a/default/instances/box", 200, 200, 0),
    ("/a/{account}/instances/{name}/order", "/a/default/instances/box/order", 405, 405, 400),
    ("/a/{account}/instances/{name}/logs", "/a/default/instances/box/logs", 200, 200, 0),
    ("/a/{account}/instances/{name}/logs/stream", "/a/default/instances/box/logs/stream", 503, 503, 0),
    ("/a/{account}/instances/{name}/logs/file", "/a/default/instances/box/logs/file", 503, 503, 0),
    ("/a/{account}/instances/{name}/connect", "/a/default/instances/box/connect", 200, 200, 400),
    ("/a/{account}/instances/{name}/own-values", "/a/default/instances/box/own-values", 200, 200, 422),
    (
        "/a/{account}/instances/{name}/own-values/forget",
        "/a/default/instances/box/own-values/forget",
        200,
        200,
        303,
    ),
    ("/a/{account}/instances/{name}/metrics", "/a/default/instances/box/metrics", 200, 200, 0),
    ("/a/{account}/instances/{name}/configuration", "/a/default/instances/box/configuration", 200, 200, 0),
    ("/a/{account}/instances/{name}/changes", "/a/default/instances/box/changes", 200, 200, 403),
    ("/a/{account}/instances/{name}/changes/{number}", "/a/default/instances/box/changes/1", 405, 405, 403),
    ("/a/{account}/instances/{name}/events", "/a/default/instances/box/events", 200, 200, 0),
    ("/a/{account}/instances/{name}/danger", "/a/default/instances/box/danger", 200, 200, 0),
    ("/a/{account}/instances/{name}/move", "/a/default/instances/box/move", 405, 405, 400),
    ("/a/{account}/instances/{name}/remove", "/a/default/instances/box/remove", 200, 200, 403),
    ("/a/{account}/instances/{name}/playground", "/a/default/instances/box/playground", 200, 200, 400),
    (
        "/a/{account}/instances/{name}/playground/calls/{call}",
        "/a/default/instances/box/playground/calls/1",
        404,
        404,
        0,
    ),
    (
        "/a/{account}/instances/{name}/playground/calls/{call}/result",
        "/a/default/instances/box/playground/calls/1/result",
        404,
        404,
        0,
    ),
    (
        "/a/{account}/instances/{name}/playground/calls/{call}/part/{part}",
        "/a/default/instances/box/playground/calls/1/part/1",
        404,
        404,
        0,
    ),
    (
        "/a/{account}/instances/{name}/playground/calls/{call}/app",
        "/a/default/instances/box/playground/calls/1/app",
        404,
        404,
        0,
    ),
    ("/a/{account}/environments", "/a/default/environments", 200, 200, 0),
    ("/a/{account}/environments/add", "/a/default/environments/add", 403, 200, 403),
    ("/a/{account}/environments/droplet", "/a/default/environments/droplet", 403, 200, 403),
    ("/a/{account}/environments/upgrades", "/a/default/environments/upgrades", 200, 200, 403),
    ("/a/{account}/environments/{name}", "/a/default/environments/local", 200, 200, 0),
    ("/a/{account}/environments/{name}/cordon", "/a/default/environments/local/cordon", 405, 405, 400),
    ("/a/{account}/environments/{name}/change", "/a/default/environments/local/change", 403, 200, 403),
    ("/a/{account}/environments/{name}/drain", "/a/default/environments/local/drain", 403, 200, 403),
    ("/a/{account}/environments/{name}/enrol", "/a/default/environments/local/enrol", 403, 200, 403),
    ("/a/{account}/environments/{name}/revoke", "/a/default/environments/local/revoke", 403, 200, 403),
    ("/a/{account}/environments/{name}/cleanup", "/a/default/environments/local/cleanup", 403, 503, 403),
    ("/a/{account}/environments/{name}/checks", "/a/default/environments/local/checks", 200, 200, 0),
    ("/a/{account}/environments/{name}/logs", "/a/default/environments/local/logs", 200, 200, 0),
    (
        "/a/{account}/environments/{name}/logs/stream",
        "/a/default/environments/local/logs/stream",
        503,
        503,
        0,
    ),
    ("/a/{account}/environments/{name}/logs/file", "/a/default/environments/local/logs/file", 503, 503, 0),
    ("/a/{account}/environments/{name}/remove", "/a/default/environments/local/remove", 403, 200, 403),
    ("/a/{account}/toolbelts", "/a/default/toolbelts", 200, 200, 403),
    ("/a/{account}/toolbelts/{name}", "/a/default/toolbelts/kit", 200, 200, 0),
    ("/a/{account}/toolbelts/{name}/members", "/a/default/toolbelts/kit/members", 405, 405, 403),
    ("/a/{account}/toolbelts/{name}/members/{instance}", "/a/default/toolbelts/kit/members/box", 200, 200, 0),
    (
        "/a/{account}/toolbelts/{name}/members/{instance}/show",
        "/a/default/toolbelts/kit/members/box/show",
        405,
        405,
        400,
    ),
    (
        "/a/{account}/toolbelts/{name}/members/{instance}/remove",
        "/a/default/toolbelts/kit/members/box/remove",
        403,
        200,
        403,
    ),
    ("/a/{account}/toolbelts/{name}/feature", "/a/default/toolbelts/kit/feature", 404, 404, 403),
    ("/a/{account}/toolbelts/{name}/changes", "/a/default/toolbelts/kit/changes", 200, 200, 403),
    ("/a/{account}/toolbelts/{name}/connect", "/a/default/toolbelts/kit/connect", 200, 200, 400),
    ("/a/{account}/toolbelts/{name}/settings", "/a/default/toolbelts/kit/settings", 200, 200, 403),
    ("/a/{account}/toolbelts/{name}/remove", "/a/default/toolbelts/kit/remove", 403, 200, 403),
    ("/a/{account}/agents", "/a/default/agents", 200, 200, 403),
    ("/a/{account}/agents/{name}", "/a/default/agents/helper", 200, 200, 0),
    ("/a/{account}/agents/{name}/machines", "/a/default/agents/helper/machines", 405, 405, 403),
    (
        "/a/{account}/agents/{name}/machines/{environment}/revoke",
        "/a/default/agents/helper/machines/local/revoke",
        403,
        200,
        403,
    ),
    ("/a/{account}/agents/{name}/members/{instance}", "/a/default/agents/helper/members/box", 200, 200, 0),
    (
        "/a/{account}/agents/{name}/members/{instance}/access",
        "/a/default/agents/helper/members/box/access",
        405,
        405,
        403,
    ),
    (
        "/a/{account}/agents/{name}/members/{instance}/permissions",
        "/a/default/agents/helper/members/box/permissions",
        405,
        405,
        403,
    ),
    (
        "/a/{account}/agents/{name}/members/{instance}/credentials",
        "/a/default/agents/helper/members/box/credentials",
        405,
        405,
        403,
    ),
    (
        "/a/{account}/agents/{name}/credentials/{id}/remove",
        "/a/default/agents/helper/credentials/x/remove",
        403,
        404,
        403,
    ),
    ("/a/{account}/agents/{name}/tokens", "/a/default/agents/helper/tokens", 200, 200, 403),
    (
        "/a/{account}/agents/{name}/tokens/{id}/revoke",
        "/a/default/agents/helper/tokens/x/revoke",
        403,
        404,
        403,
    ),
    ("/a/{account}/agents/{name}/settings", "/a/default/agents/helper/settings", 200, 200, 403),
    ("/a/{account}/agents/{name}/remove", "/a/default/agents/helper/remove", 403, 200, 403),
    ("/a/{account}/people", "/a/default/people", 200, 200, 422),
    ("/a/{account}/people/{name}/role", "/a/default/people/admin/role", 405, 405, 400),
    ("/a/{account}/people/{name}/remove", "/a/default/people/admin/remove", 200, 200, 403),
    ("/a/{account}/invitations/{id}/revoke", "/a/default/invitations/x/revoke", 405, 405, 403),
    ("/a/{account}/tokens", "/a/default/tokens", 200, 200, 400),
    ("/a/{account}/tokens/{id}/revoke", "/a/default/tokens/x/revoke", 404, 404, 404),
    ("/a/{account}/clients", "/a/default/clients", 200, 200, 400),
    ("/a/{account}/clients/{id}/remove", "/a/default/clients/x/remove", 404, 404, 403),
    ("/a/{account}/grants/{id}/revoke", "/a/default/grants/x/revoke", 404, 404, 404),
    ("/a/{account}/rules", "/a/default/rules", 403, 200, 400),
    ("/a/{account}/rules/{id}/remove", "/a/default/rules/x/remove", 405, 405, 403),
    ("/a/{account}/secrets", "/a/default/secrets", 200, 200, 400),
    ("/a/{account}/secrets/{name}/remove", "/a/default/secrets/X/remove", 403, 404, 403),
    ("/a/{account}/audit", "/a/default/audit", 403, 200, 0),
    ("/a/{account}/audit/calls", "/a/default/audit/calls", 403, 200, 0),
    ("/a/{account}/audit/changes.jsonl", "/a/default/audit/changes.jsonl", 403, 200, 0),
    ("/a/{account}/audit/calls.jsonl", "/a/default/audit/calls.jsonl", 403, 200, 0),
    ("/a/{account}/check", "/a/default/check", 200, 200, 404),
];

/// A browser in which the user of a token is signed in.
pub(crate) async fn signed_in<'a>(platform: &'a Platform, token: &str) -> Browser<'a> {
    platform.set_password(token, PASSWORD).await;
    let me = platform.send(Some(token), Method::GET, "/api/v1/whoami", None).await;
    let browser = Browser::new(platform);
    browser.sign_in(me.json()["user_name"].as_str().unwrap(), PASSWORD).await;
    browser
}

/// Somebody of that role, in a browser.
pub(crate) async fn person<'a>(platform: &'a Platform, account: &str, role: Role) -> Browser<'a> {
    let token = platform.person(account, role, Life::Good).await;
    // The rows were written beside Berth; a change through it has them read.
    let body = json!({ "effect": "allow", "subject": "everyone", "instance": "none" });
    let made = platform.post("/api/v1/rules", body).await.json();
    let path = format!("/api/v1/rules/{}", made["id"].as_str().unwrap());
    platform.send(Some(&platform.owner), Method::DELETE, &path, None).await;
    signed_in(platform, &token).await
}

#[tokio::test]
async fn each_page_is_for_members_of_its_account() {
    let rows: BTreeSet<&str> = ROWS.iter().map(|row| row.0).collect();
    let served: BTreeSet<&str> = control::page_paths().into_iter().collect();
    assert_eq!(served, rows, "each page has a row");

    let platform = Platform::start(nobody()).await;
    let owner = signed_in(&platform, &platform.owner).await;
    platform.deploy("box").await;
    for (method, path, body) in [
        (Method::POST, "toolbelts", json!({ "name": "kit" })),
        (Method::POST, "toolbelts/kit/members", json!({ "instance": "box" })),
        (Method::POST, "agents", json!({ "name": "helper" })),
        (Method::PUT, "agents/helper/environments/local", json!({})),
        (Method::POST, "toolbelts/helper/members", json!({ "instance": "box" })),
    ] {
        let path = format!("/api/v1/{path}");
        let made = platform.send(Some(&platform.owner), method, &path, Some(body)).await;
        assert!(made.status.is_success(), "{path}: {made:?}");
    }
    let stranger = person(&platform, "other", Role::Owner).await;
    let viewer = person(&platform, "default", Role::Viewer).await;
    let nobody = Browser::new(&platform);
    let csrf_of = async |browser: &Browser<'_>| csrf(&browser.get("/you").await);
    let (of_stranger, of_viewer) = (csrf_of(&stranger).await, csrf_of(&viewer).await);
    let mut wrong = Vec::new();
    for &(_, path, as_viewer, as_owner, posted) in ROWS.iter().filter(|row| !row.1.is_empty()) {
        let mut check = |who: &str, answer: &Answer, expected: &[u16], to: &str| {
            let status = answer.status.as_u16();
            if !expected.contains(&status) || location(answer) != to && !to.is_empty() {
                wrong.push(format!("{who} {path}: {status} {} and not {expected:?} {to}", location(answer)));
            }
        };
        if as_owner != 405 {
            check("nobody", &nobody.get(path).await, &[303], &format!("/sign-in?next={path}"));
            let other = stranger.get(path).await;
            check("a stranger", &other, &[404], "");
            assert!(text(&other).contains("You are in no account"), "{path}: {}", text(&other));
        }
        check("a viewer", &viewer.get(path).await, &[as_viewer], "");
        check("an owner", &owner.get(path).await, &[as_owner], "");
        if posted == 0 {
            continue;
        }
        check("nobody posts to", &nobody.post(path, &[("csrf", "x")]).await, &[303], "/sign-in");
        for fields in [&[("csrf", "x")][..], &[("csrf", &of_stranger)]] {
            check("forged,", &viewer.post(path, fields).await, &[403], "");
        }
        check("without the text,", &viewer.post(path, &[]).await, &[400], "");
        check("a stranger posts to", &stranger.post(path, &[("csrf", &of_stranger)]).await, &[400, 404], "");
        check("a viewer posts to", &viewer.post(path, &[("csrf", &of_viewer)]).await, &[posted], "");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    platform.stop().await;
}

#[tokio::test]
async fn an_invited_person_is_let_in_and_may_not_deploy() {
    let platform = Platform::start(nobody()).await;
    let owner = signed_in(&platform, &platform.owner).await;
    let people = "/a/default/people";
    let wrong = owner
        .submit(people, people, &[("role", "viewer"), ("name", "a/b"), ("email", "x@example.com")])
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let page = text(&wrong);
    assert!(
        page.contains("role=\"alert\"")
            && page.contains("value=\"a/b\"")
            && page.contains("value=\"x@example.com\""),
        "{page}"
    );

    let made =
        text(&owner.submit(people, people, &[("role", "viewer"), ("name", "mary"), ("email", "")]).await);
    let link =
        made.split("<code id=\"once\">").nth(1).and_then(|rest| rest.split('<').next()).expect("a link");
    let path = link.strip_prefix(&format!("http://{}", platform.address)).expect("a link to here");
    let mary = Browser::new(&platform);
    let joined = mary.post(path, &[("name", "mary"), ("password", PASSWORD)]).await;
    assert!(joined.status.is_success() || joined.status.is_redirection(), "{}", text(&joined));
    let home = mary.get("/").await;
    assert_eq!((home.status, location(&home)), (StatusCode::SEE_OTHER, "/a/default"));
    let overview = text(&mary.get("/a/default").await);
    assert!(overview.contains("viewer of default") && !overview.contains("Deploy a server"), "{overview}");
    // Her links have no form that she may not send, and what she sends all the same is refused.
    let page = text(&mary.get(people).await);
    assert!(!page.contains("Invite somebody") && !page.contains("name=\"role\""), "{page}");
    let refused = mary.submit(people, "/a/default/people/mary/role", &[("role", "owner")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);

    let changed = owner.submit(people, "/a/default/people/mary/role", &[("role", "member")]).await;
    assert_eq!((changed.status, location(&changed)), (StatusCode::SEE_OTHER, people));
    assert!(text(&mary.get("/a/default").await).contains("member of default"));
    let ask = text(&owner.get("/a/default/people/mary/remove").await);
    assert!(ask.contains("Remove mary from default?") && ask.contains("end at once"), "{ask}");
    let removed = owner.submit("/a/default/people/mary/remove", "/a/default/people/mary/remove", &[]).await;
    assert_eq!((removed.status, location(&removed)), (StatusCode::SEE_OTHER, people));
    assert_eq!(mary.get("/a/default").await.status, StatusCode::NOT_FOUND);
    let last = owner.submit(people, "/a/default/people/admin/remove", &[]).await;
    assert_eq!(last.status, StatusCode::CONFLICT, "{}", text(&last));
    platform.stop().await;
}

#[tokio::test]
async fn tokens_clients_rules_and_secrets_are_made_and_ended() {
    let platform = Platform::start(nobody()).await;
    let owner = signed_in(&platform, &platform.owner).await;

    // A token: shown once, for what was chosen, with its name as text.
    let tokens = "/a/default/tokens";
    let fields = [("name", HOSTILE), ("days", "7"), ("scope", "read"), ("instance", ""), ("tool", "")];
    let page = text(&owner.submit(tokens, tokens, &fields).await);
    let token =
        page.split("<code id=\"once\">").nth(1).and_then(|rest| rest.split('<').next()).expect("a token");
    assert!(token.starts_with("berth_") && !page.contains(HOSTILE) && !page.contains("<img"), "{page}");
    let read = platform.send(Some(token), Method::GET, "/api/v1/instances", None).await;
    let written = platform.send(Some(token), Method::POST, "/api/v1/rules", Some(json!({}))).await;
    assert_eq!(read.status, StatusCode::OK);
    assert!(matches!(written.status.as_u16(), 403 | 422), "{written:?}");
    assert!(!text(&owner.get(tokens).await).contains(token), "shown once");
    let wrong = owner.submit(tokens, tokens, &[("name", "x"), ("scope", "call"), ("tool", "echo")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(&wrong).contains("value=\"echo\""), "what was typed stays");
    let list = platform.get("/api/v1/tokens").await.json();
    let id = list.as_array().unwrap().iter().find(|of| of["name"] == HOSTILE).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("{tokens}/{id}/revoke");
    assert_eq!(location(&owner.submit(&path, &path, &[]).await), tokens);
    assert_eq!(
        platform.send(Some(token), Method::GET, "/api/v1/whoami", None).await.status,
        StatusCode::UNAUTHORIZED
    );

    // A client.
    let clients = "/a/default/clients";
    let fields =
        [("name", "<b>bold</b>"), ("redirect_uris", "https://app.example.com/cb"), ("kind", "secret")];
    let page = text(&owner.submit(clients, clients, &fields).await);
    assert!(page.contains("id=\"once\"") && !page.contains("<b>bold"), "{page}");
    let wrong =
        owner.submit(clients, clients, &[("name", "x"), ("redirect_uris", "javascript:alert(1)")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", text(&wrong));
    let list = platform.get("/api/v1/oauth/clients").await.json();
    let path = format!("{clients}/{}/remove", list[0]["id"].as_str().unwrap());
    assert_eq!(location(&owner.submit(&path, &path, &[]).await), clients);
    assert_eq!(platform.get("/api/v1/oauth/clients").await.json(), json!([]));

    // A rule.
    let rules = "/a/default/rules";
    let fields = [
        ("effect", "deny"),
        ("subject", "role viewer"),
        ("instance", ""),
        ("what", "tool"),
        ("pattern", "<i>*"),
        ("hint", "destructive"),
    ];
    assert_eq!(location(&owner.submit(rules, rules, &fields).await), rules);
    let page = text(&owner.get(rules).await);
    assert!(
        page.contains("every viewer")
            && page.contains("that may destroy of every instance")
            && !page.contains("<i>"),
        "{page}"
    );
    let list = platform.get("/api/v1/rules").await.json();
    assert_eq!(list[0]["hint"], "destructive");
    let path = format!("{rules}/{}/remove", list[0]["id"].as_str().unwrap());
    assert_eq!(location(&owner.submit(rules, &path, &[]).await), rules);
    assert_eq!(platform.get("/api/v1/rules").await.json(), json!([]));
    for wrong in [
        [("effect", "maybe"), ("subject", "everyone"), ("what", "tool")],
        [("effect", "deny"), ("subject", "user nobody"), ("what", "tool")],
    ] {
        assert_eq!(
            owner.submit(rules, rules, &wrong).await.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{wrong:?}"
        );
    }

    // A secret: in, and never out.
    let secrets = "/a/default/secrets";
    let fields = [("name", "API_KEY"), ("value", "canary-4711\r\nsecond line"), ("restart", "on")];
    assert_eq!(location(&owner.submit(secrets, secrets, &fields).await), secrets);
    let wrong = text(&owner.submit(secrets, secrets, &[("name", "no name"), ("value", "canary-4712")]).await);
    assert!(wrong.contains("value=\"no name\"") && !wrong.contains("canary-4712"), "{wrong}");
    for path in [
        secrets,
        "/a/default/audit",
        "/a/default/audit/changes.jsonl",
        "/a/default/secrets/API_KEY/remove",
        "/a/default",
    ] {
        let page = text(&owner.get(path).await);
        assert!(!page.contains("canary-471"), "{path}: {page}");
    }
    assert!(text(&owner.get(secrets).await).contains("API_KEY"));
    let path = "/a/default/secrets/API_KEY/remove";
    assert_eq!(location(&owner.submit(path, path, &[]).await), secrets);
    assert_eq!(platform.get("/api/v1/secrets").await.json(), json!([]));
    platform.stop().await;
}

#[tokio::test]
async fn the_audit_is_searched_and_taken_along() {
    let platform = Platform::start(nobody()).await;
    let owner = signed_in(&platform, &platform.owner).await;
    for name in ["one", "two"] {
        let body = json!({ "name": name });
        assert_eq!(platform.post("/api/v1/tokens", body).await.status, StatusCode::CREATED);
    }
    let page = text(&owner.get("/a/default/audit?action=token.create&object=two").await);
    assert!(page.contains(">two<p") && !page.contains(">one<p"), "{page}");
    let account = platform.account("default").await;
    let all = audit_lines(&platform.store, account, 1000).await.unwrap();
    let file = owner.get("/a/default/audit/changes.jsonl").await;
    assert!(file.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let text_of = text(&file);
    let lines: Vec<serde_json::Value> =
        text_of.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), all.len());
    assert_eq!(owner.get("/a/default/audit?after=x").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(owner.get("/a/default/audit/calls?result=x").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(&owner.get("/a/default/audit/calls").await).contains("No call."));
    platform.stop().await;
}

#[tokio::test]
async fn a_page_is_small_and_loads_nothing_from_elsewhere() {
    let platform = Platform::start(nobody()).await;
    let owner = signed_in(&platform, &platform.owner).await;
    let gzip = [("accept-encoding", "gzip")];
    let page = owner.send(Method::GET, "/a/default", &gzip, None).await;
    assert_eq!(page.headers["content-encoding"], "gzip");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("script-src 'self'; connect-src 'self'")
            && policy.contains("default-src 'none'")
            && !policy.contains("unsafe"),
        "{policy}"
    );
    let mut weight = page.body.len();
    let plain = text(&owner.get("/a/default").await);
    assert!(
        !plain.contains(" style=") && !plain.contains("javascript:") && !plain.contains(" onclick"),
        "{plain}"
    );
    let mut assets = 0;
    for piece in plain.split("\"/assets/").skip(1) {
        let path = format!("/assets/{}", piece.split(['"', '#']).next().unwrap());
        if path.split('.').next_back() == Some("svg") {
            continue;
        }
        let asset = owner.send(Method::GET, &path, &gzip, None).await;
        assert_eq!(asset.status, StatusCode::OK, "{path}");
        assert!(asset.headers["cache-control"].to_str().unwrap().contains("immutable"), "{path}");
        weight += asset.body.len();
        assets += 1;
    }
    assert_eq!(assets, 2, "a stylesheet and a script");
    assert!(weight <= 100 << 10, "{weight} bytes");
    // The text of forms is another one on each page, so that the length of a page tells nothing of it; each is good.
    let (one, two) = (csrf(&owner.get("/you").await), csrf(&owner.get("/you").await));
    assert_ne!(one, two);
    for text_of in [one, two] {
        let answer = owner.post("/you/sessions/x/end", &[("csrf", &text_of)]).await;
        assert_ne!(answer.status, StatusCode::FORBIDDEN, "{}", text(&answer));
    }
    platform.stop().await;
}
