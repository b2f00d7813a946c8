//! Every endpoint as everybody: one table, compared with the OpenAPI document, so that a new endpoint without a row here
//! fails.

mod belts;

use std::collections::BTreeSet;

use api::users::Role;
use domain::ids::UserId;
use http::Method;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::dtma::heartbeat;
use crate::platform::{Life, Platform, nobody};

const PASSWORD: &str = "correct horse battery staple";

/// What each caller gets: nobody, expired, revoked, a DTMA, another account's owner, viewer, member, admin.
type Statuses = [u16; 8];

struct Row {
    method: Method,
    template: &'static str,
    path: String,
    body: Option<Value>,
    expected: Statuses,
}

fn row(
    method: &Method,
    template: &'static str,
    concrete: &str,
    body: Option<Value>,
    expected: Statuses,
) -> Row {
    let path = template
        .replace("{name}", concrete)
        .replace("{id}", concrete)
        .replace("{host}", concrete)
        .replace("{instance}", "welcome")
        .replace("{environment}", "local")
        .replace("{number}", "1")
        .replace("{version}", "latest");
    Row { method: method.clone(), template, path, body, expected }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "it is one table, a row for each endpoint")]
async fn every_endpoint_as_everybody() {
    // The host is away, so that nothing changes while the table runs.
    let platform = Platform::start(nobody()).await;
    let (expired, revoked) = (
        platform.person("default", Role::Owner, Life::Expired).await,
        platform.person("default", Role::Owner, Life::Revoked).await,
    );
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let member = platform.person("default", Role::Member, Life::Good).await;
    let admin = platform.person("default", Role::Admin, Life::Good).await;
    let dtma = platform.local.dtma_token.expose();
    let callers: [(&str, Option<&str>); 8] = [
        ("nobody", None),
        ("expired", Some(&expired)),
        ("revoked", Some(&revoked)),
        ("a DTMA", Some(dtma)),
        ("a stranger", Some(&stranger)),
        ("a viewer", Some(&viewer)),
        ("a member", Some(&member)),
        ("an admin", Some(&admin)),
    ];
    // The same admin's, for less.
    let (reads, calls) =
        (platform.scoped(&admin, &["read"]).await, platform.scoped(&admin, &["mcp:call"]).await);
    let spare = platform.post("/api/v1/tokens", json!({ "name": "spare" })).await.json();
    let spare = spare["id"].as_str().unwrap();

    let (false_credentials, cookie) = false_credentials(&platform).await;

    platform.environment("spare", "spare-token").await;
    platform.environment("near", "near-token").await;
    let host = json!({ "name": "far", "kind": "host", "address": "10.0.0.5:30000", "insecure_http": true });

    let deploy = Some(json!({ "server": "welcome" }));
    let beat = Some(heartbeat(&platform.local.id.to_string(), 1, &json!([])));
    let enrol = json!({ "token": dtma, "nonce": "0123456789abcdef", "hostname": "h", "dtma_version": "1" });
    let nobodys = "01890a5d-ac96-774b-bcce-b302099a8057";
    let wanted = json!({ "instance": nobodys, "wanted": { "reason": "refused" } });
    let registry = Some(json!({ "username": "me", "password": "x" }));
    let (get, post, put, patch, delete) =
        (Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
    belts::prepare(&platform).await;
    // The last row removes what the others need.
    let rows = [
        row(&get, "/api/v1/whoami", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(
            &put,
            "/api/v1/whoami/password",
            "",
            Some(json!({ "password": "correct horse battery" })),
            [401, 401, 401, 401, 204, 204, 204, 204],
        ),
        row(&get, "/api/v1/sessions", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(&delete, "/api/v1/sessions/{id}", spare, None, [401, 401, 401, 401, 404, 404, 404, 404]),
        row(&get, "/api/v1/accounts", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        // Its name is taken, which only who may make one learns.
        row(
            &post,
            "/api/v1/accounts",
            "",
            Some(json!({ "name": "default" })),
            [401, 401, 401, 401, 403, 403, 403, 403],
        ),
        row(&get, "/api/v1/members", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(
            &patch,
            "/api/v1/members/{name}",
            "admin",
            Some(json!({ "role": "viewer" })),
            [401, 401, 401, 401, 404, 403, 403, 403],
        ),
        row(&delete, "/api/v1/members/{name}", "admin", None, [401, 401, 401, 401, 404, 403, 403, 403]),
        row(&get, "/api/v1/invitations", "", None, [401, 401, 401, 401, 200, 403, 403, 200]),
        row(
            &post,
            "/api/v1/invitations",
            "",
            Some(json!({ "role": "viewer" })),
            [401, 401, 401, 401, 201, 403, 403, 201],
        ),
        row(&delete, "/api/v1/invitations/{id}", spare, None, [401, 401, 401, 401, 404, 403, 403, 404]),
        row(&get, "/api/v1/server", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(&get, "/api/v1/instances", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(&post, "/api/v1/instances", "", deploy, [401, 401, 401, 401, 422, 403, 201, 201]),
        row(&get, "/api/v1/instances/{name}", "welcome", None, [401, 401, 401, 401, 404, 200, 200, 200]),
        row(
            &post,
            "/api/v1/instances/{name}/start",
            "welcome",
            None,
            [401, 401, 401, 401, 404, 403, 200, 200],
        ),
        row(
            &post,
            "/api/v1/instances/{name}/stop",
            "welcome",
            None,
            [401, 401, 401, 401, 404, 403, 200, 200],
        ),
        row(
            &post,
            "/api/v1/instances/{name}/restart",
            "welcome",
            None,
            [401, 401, 401, 401, 404, 403, 200, 200],
        ),
        row(
            &put,
            "/api/v1/instances/{name}/failover",
            "welcome",
            Some(json!({ "failover": {} })),
            [401, 401, 401, 401, 404, 403, 200, 200],
        ),
        // Those who may get further than who they are: it is there already.
        row(
            &post,
            "/api/v1/instances/{name}/move",
            "welcome",
            Some(json!({ "environment": "local" })),
            [401, 401, 401, 401, 404, 403, 422, 422],
        ),
        row(
            &get,
            "/api/v1/instances/{name}/changes",
            "welcome",
            None,
            [401, 401, 401, 401, 404, 200, 200, 200],
        ),
        // Those who may get further than who they are: nobody asked for it, it came with Berth.
        row(
            &post,
            "/api/v1/instances/{name}/changes",
            "welcome",
            Some(json!({})),
            [401, 401, 401, 401, 404, 403, 409, 409],
        ),
        row(
            &post,
            "/api/v1/instances/{name}/rollback",
            "welcome",
            Some(json!({})),
            [401, 401, 401, 401, 404, 403, 409, 409],
        ),
        row(
            &post,
            "/api/v1/instances/{name}/changes/{number}/switch",
            "welcome",
            None,
            [401, 401, 401, 401, 404, 403, 404, 404],
        ),
        row(
            &post,
            "/api/v1/instances/{name}/changes/{number}/drop",
            "welcome",
            None,
            [401, 401, 401, 401, 404, 403, 404, 404],
        ),
        row(&get, "/api/v1/instances/{name}/logs", "welcome", None, [401, 401, 401, 401, 404, 503, 503, 503]),
        row(
            &get,
            "/api/v1/instances/{name}/events",
            "welcome",
            None,
            [401, 401, 401, 401, 404, 200, 200, 200],
        ),
        row(
            &get,
            "/api/v1/instances/{name}/metrics",
            "welcome",
            None,
            [401, 401, 401, 401, 404, 200, 200, 200],
        ),
        row(&get, "/api/v1/metrics", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        // Those who may get further than who they are: it does not run elsewhere.
        row(
            &get,
            "/api/v1/instances/{name}/authorization",
            "welcome",
            None,
            [401, 401, 401, 401, 404, 422, 422, 422],
        ),
        row(
            &post,
            "/api/v1/instances/{name}/authorization",
            "welcome",
            Some(json!({})),
            [401, 401, 401, 401, 404, 403, 403, 422],
        ),
        row(
            &delete,
            "/api/v1/instances/{name}/authorization",
            "welcome",
            None,
            [401, 401, 401, 401, 404, 403, 403, 422],
        ),
        row(
            &get,
            "/api/v1/instances/{name}/own-values",
            "welcome",
            None,
            [401, 401, 401, 401, 404, 200, 200, 200],
        ),
        row(
            &Method::PUT,
            "/api/v1/instances/{name}/own-values",
            "welcome",
            Some(json!({ "values": {} })),
            [401, 401, 401, 401, 404, 422, 422, 422],
        ),
        row(
            &delete,
            "/api/v1/instances/{name}/own-values",
            "welcome",
            None,
            [401, 401, 401, 401, 404, 204, 204, 204],
        ),
        row(&get, "/api/v1/environments", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(&get, "/api/v1/environments/{name}", "local", None, [401, 401, 401, 401, 404, 200, 200, 200]),
        row(&get, "/api/v1/environments/{name}/log", "local", None, [401, 401, 401, 401, 404, 503, 503, 503]),
        row(
            &get,
            "/api/v1/environments/{name}/checks",
            "local",
            None,
            [401, 401, 401, 401, 404, 503, 503, 503],
        ),
        row(&post, "/api/v1/environments", "", Some(host), [401, 401, 401, 401, 201, 403, 403, 201]),
        row(
            &patch,
            "/api/v1/environments/{name}",
            "near",
            Some(json!({ "cordoned": true })),
            [401, 401, 401, 401, 404, 403, 403, 200],
        ),
        row(
            &post,
            "/api/v1/environments/{name}/drain",
            "near",
            None,
            [401, 401, 401, 401, 404, 403, 403, 200],
        ),
        row(&delete, "/api/v1/environments/{name}", "spare", None, [401, 401, 401, 401, 404, 403, 403, 204]),
        row(
            &post,
            "/api/v1/environments/{name}/token",
            "local",
            None,
            [401, 401, 401, 401, 404, 403, 403, 200],
        ),
        row(
            &post,
            "/api/v1/environments/{name}/cleanup",
            "local",
            Some(json!({ "dry_run": true })),
            [401, 401, 401, 401, 404, 403, 403, 503],
        ),
        row(
            &post,
            "/api/v1/environments/{name}/enrolment",
            "near",
            None,
            [401, 401, 401, 401, 404, 403, 403, 200],
        ),
        row(
            &post,
            "/api/v1/environments/{name}/revoke",
            "near",
            None,
            [401, 401, 401, 401, 404, 403, 403, 200],
        ),
        row(&get, "/api/v1/upgrades", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(
            &post,
            "/api/v1/upgrades",
            "",
            Some(json!({ "environments": ["local"] })),
            [401, 401, 401, 401, 404, 403, 403, 409],
        ),
        row(&get, "/api/v1/alerts", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(&post, "/api/v1/alerts/test", "", None, [401, 401, 401, 401, 409, 403, 403, 409]),
        row(&get, "/api/v1/audit", "", None, [401, 401, 401, 401, 200, 403, 403, 200]),
        row(&get, "/api/v1/audit/calls", "", None, [401, 401, 401, 401, 200, 403, 403, 200]),
        row(&get, "/api/v1/digitalocean/strays", "", None, [401, 401, 401, 401, 503, 403, 403, 503]),
        row(&delete, "/api/v1/digitalocean/strays/{id}", "7", None, [401, 401, 401, 401, 503, 403, 403, 503]),
        row(&get, "/api/v1/digitalocean/options", "", None, [401, 401, 401, 401, 503, 403, 403, 503]),
        row(&get, "/api/v1/catalog", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(&get, "/api/v1/catalog/{name}", "time", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        // The catalog is everybody's: who changes it looks after the installation, which none of these does.
        row(
            &post,
            "/api/v1/catalog",
            "",
            Some(json!({ "entries": [] })),
            [401, 401, 401, 401, 403, 403, 403, 403],
        ),
        row(&get, "/api/v1/catalog-sources", "", None, [401, 401, 401, 401, 200, 403, 403, 200]),
        row(
            &post,
            "/api/v1/catalog-sources",
            "",
            Some(json!({ "url": "official" })),
            [401, 401, 401, 401, 403, 403, 403, 403],
        ),
        row(
            &post,
            "/api/v1/catalog-sources/{name}/sync",
            "x",
            None,
            [401, 401, 401, 401, 403, 403, 403, 403],
        ),
        row(&delete, "/api/v1/catalog-sources/{name}", "x", None, [401, 401, 401, 401, 403, 403, 403, 403]),
        // What registries publish is everybody's; a token that is none is refused all the same.
        row(&get, "/v0.1/servers", "", None, [200, 401, 401, 401, 200, 200, 200, 200]),
        row(&get, "/v0.1/servers/{name}/versions", "a%2Fb", None, [404, 401, 401, 401, 404, 404, 404, 404]),
        row(
            &get,
            "/v0.1/servers/{name}/versions/{version}",
            "a%2Fb",
            None,
            [404, 401, 401, 401, 404, 404, 404, 404],
        ),
        row(&get, "/api/v1/registries", "", None, [401, 401, 401, 401, 200, 403, 403, 200]),
        row(&put, "/api/v1/registries/{host}", "ghcr.io", registry, [401, 401, 401, 401, 200, 403, 403, 200]),
        row(&delete, "/api/v1/registries/{host}", "ghcr.io", None, [401, 401, 401, 401, 204, 403, 403, 204]),
        row(&get, "/api/v1/rules", "", None, [401, 401, 401, 401, 200, 403, 403, 200]),
        row(
            &post,
            "/api/v1/rules",
            "",
            Some(json!({ "effect": "deny", "subject": "everyone", "instance": "nothing" })),
            [401, 401, 401, 401, 201, 403, 403, 201],
        ),
        row(&delete, "/api/v1/rules/{id}", spare, None, [401, 401, 401, 401, 404, 403, 403, 404]),
        row(&get, "/api/v1/secrets", "", None, [401, 401, 401, 401, 200, 403, 200, 200]),
        row(
            &put,
            "/api/v1/secrets/{name}",
            "KEY",
            Some(json!({ "value": "x" })),
            [401, 401, 401, 401, 200, 403, 403, 200],
        ),
        row(&delete, "/api/v1/secrets/{name}", "KEY", None, [401, 401, 401, 401, 204, 403, 403, 204]),
        row(&get, "/api/v1/tokens", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(
            &post,
            "/api/v1/tokens",
            "",
            Some(json!({ "name": "x" })),
            [401, 401, 401, 401, 201, 201, 201, 201],
        ),
        row(&delete, "/api/v1/tokens/{id}", spare, None, [401, 401, 401, 401, 404, 404, 404, 204]),
        row(&get, "/api/v1/oauth/clients", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(
            &post,
            "/api/v1/oauth/clients",
            "",
            Some(json!({ "name": "x" })),
            [401, 401, 401, 401, 201, 403, 403, 201],
        ),
        row(&delete, "/api/v1/oauth/clients/{id}", "x", None, [401, 401, 401, 401, 404, 403, 403, 404]),
        row(&get, "/api/v1/oauth/grants", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(&delete, "/api/v1/oauth/grants/{id}", "x", None, [401, 401, 401, 401, 404, 404, 404, 404]),
        row(&get, "/api/v1/events", "", None, [401, 401, 401, 401, 200, 200, 200, 200]),
        row(&post, "/api/v1/dtma/heartbeat", "", beat, [401, 401, 401, 204, 401, 401, 401, 401]),
        // Nobody's token opens it: it takes a one-time token in its body.
        row(&post, "/api/v1/dtma/enrol", "", Some(enrol), [401, 401, 401, 401, 401, 401, 401, 401]),
        // The instance is nobody's.
        row(&post, "/api/v1/dtma/upstream-token", "", Some(wanted), [401, 401, 401, 404, 401, 401, 401, 401]),
        row(&get, "/api/v1/dtma/tunnel", "", None, [401, 401, 401, 400, 401, 401, 401, 401]),
        row(&delete, "/api/v1/instances/{name}", "welcome", None, [401, 401, 401, 401, 404, 403, 202, 202]),
    ];
    let table: Vec<Row> = belts::rows().into_iter().chain(rows).collect();

    for row in &table {
        let as_viewer = row.expected[5];
        // What is a user's own, whatever the role, takes a token that is for all.
        let of_user =
            ["/api/v1/tokens", "/api/v1/whoami/password", "/api/v1/sessions", "/api/v1/oauth/grants"];
        let of_user =
            of_user.iter().any(|own| row.template.starts_with(own)) || row.template.ends_with("/own-values");
        let takes_all = of_user && (row.method != get || row.template == "/api/v1/sessions");
        let to_reader = if takes_all { 403 } else { as_viewer };
        // API tokens open nothing of a DTMA's, whatever they are for.
        let to_caller = match as_viewer {
            401 => 401,
            _ if row.path.ends_with("/whoami") => 200,
            _ => 403,
        };
        let scoped = [("a token that reads", &reads, to_reader), ("a token that calls", &calls, to_caller)];
        for (who, token, expected) in scoped {
            let response = platform.open(Some(token), row.method.clone(), &row.path, row.body.clone()).await;
            assert_eq!(response.status().as_u16(), expected, "{} {} as {who}", row.method, row.path);
        }
        // What only looks like a credential is none.
        for (who, token) in &false_credentials {
            let response = platform.open(Some(token), row.method.clone(), &row.path, row.body.clone()).await;
            assert_eq!(response.status().as_u16(), 401, "{} {} with {who}", row.method, row.path);
        }
        let cookie = [("cookie", cookie.as_str()), ("content-type", "application/json")];
        let body = row.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let answer = platform.send_body(row.method.clone(), &row.path, &cookie, body).await;
        let to_nobody = row.expected[0];
        assert_eq!(answer.status, to_nobody, "{} {} with a session's cookie", row.method, row.path);
        for ((who, token), expected) in callers.iter().zip(row.expected) {
            let response = platform.open(*token, row.method.clone(), &row.path, row.body.clone()).await;
            assert_eq!(response.status().as_u16(), expected, "{} {} as {who}", row.method, row.path);
            let challenged = response.headers().contains_key("www-authenticate");
            assert_eq!(challenged, expected == 401, "{} {} as {who}", row.method, row.path);
        }
    }

    let tested: BTreeSet<String> =
        table.iter().map(|row| format!("{} {}", row.method.as_str().to_lowercase(), row.template)).collect();
    assert_eq!(tested, documented());
    // What a stranger was given is their own and empty.
    let list = platform.send(Some(&stranger), Method::GET, "/api/v1/instances", None).await;
    assert_eq!(list.json(), json!([]));
    platform.stop().await;
}

/// What looks like a credential and is none for the JSON API, and the cookie of a session.
async fn false_credentials(platform: &Platform) -> ([(&'static str, String); 6], String) {
    platform.set_password(&platform.owner, PASSWORD).await;
    let browser = Browser::new(platform);
    browser.sign_in("admin", PASSWORD).await;
    let session = browser.cookie("berth_session").unwrap();
    let for_a_server = crate::oauth::access_token(platform, "/mcp/default/welcome").await;
    let parts: Vec<&str> = for_a_server.split('.').collect();
    // {"alg":"none","typ":"at+jwt"}
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{}.", parts[1]);
    // The claims of a good one, and of one for the API, signed with a key that is not ours.
    let signed = |issuer: String| {
        let user = UserId::generate();
        let claims = json!({
            "iss": issuer, "sub": user, "aud": platform.url(), "client_id": "x", "scope": "admin", "iat": 1,
            "exp": 4_000_000_000_u64, "jti": user, "account": user, "grant": user,
        });
        let key = EncodingKey::from_secret(b"a key that is not ours and long enough");
        jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
    };
    let all = [
        ("a token for a server", for_a_server.clone()),
        ("`alg: none`", none),
        ("another issuer's token", signed("https://elsewhere.example".to_owned())),
        ("a token of ours that we did not sign", signed(platform.url())),
        ("a changed token", format!("{}.{}x.{}", parts[0], parts[1], parts[2])),
        ("a session's id", session.clone()),
    ];
    (all, format!("berth_session={session}"))
}

fn documented() -> BTreeSet<String> {
    let document = serde_json::to_value(control::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let methods = |path: &str, item: &Value| {
        let path = path.to_owned();
        item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")).collect::<Vec<_>>()
    };
    paths.iter().flat_map(|(path, item)| methods(path, item)).collect()
}

#[tokio::test]
async fn what_lies_beside_the_api() {
    let platform = Platform::start(nobody()).await;
    let rows = [
        (Method::GET, "/", 200, "berth list"),
        (Method::GET, "/healthz", 200, "ok"),
        (Method::GET, "/readyz", 200, "\"ready\""),
        (Method::GET, "/metrics", 200, "berth_instances{status=\"pending_deploy\"} 1"),
        (Method::GET, "/api/openapi.json", 200, "/api/v1/instances/{name}/logs"),
        (Method::GET, "/.well-known/oauth-authorization-server", 200, "\"issuer\""),
        (Method::GET, "/.well-known/openid-configuration", 200, "\"issuer\""),
        (Method::GET, "/.well-known/oauth-protected-resource", 200, "\"resource\""),
        (Method::GET, "/.well-known/oauth-protected-resource/mcp/default/welcome", 200, "mcp:call:welcome"),
        (Method::GET, "/oauth/keys", 200, "\"keys\""),
        (Method::POST, "/oauth/token", 400, "\"invalid_request\""),
        (Method::POST, "/oauth/register", 400, "\"invalid_client_metadata\""),
        (Method::POST, "/oauth/revoke", 400, "\"invalid_request\""),
        (Method::POST, "/oauth/introspect", 400, "\"invalid_request\""),
        (Method::POST, "/oauth/device", 400, "\"invalid_request\""),
        // Pages: who is not signed in is sent to sign in, and forms are our own alone.
        (Method::GET, "/sign-in", 200, "Sign in"),
        (Method::GET, "/you", 303, ""),
        (Method::GET, "/oauth/authorize", 303, ""),
        (Method::GET, "/device", 303, ""),
        (Method::POST, "/oauth/authorize", 403, "not sent by a page of this Berth"),
        (Method::POST, "/device", 403, "not sent by a page of this Berth"),
        (Method::POST, "/device/decision", 403, "not sent by a page of this Berth"),
        (Method::GET, "/api/v1/nothing", 404, "\"not_found\""),
        (Method::GET, "/mcp", 404, "\"not_found\""),
        (Method::PUT, "/api/v1/instances", 405, "\"method_not_allowed\""),
        (Method::POST, "/healthz", 405, "\"method_not_allowed\""),
    ];
    for (method, path, status, words) in rows {
        let answer = platform.send(None, method.clone(), path, None).await;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert!(body.contains(words), "{method} {path}: {body}");
    }
    let metrics = platform.send(None, Method::GET, "/metrics", None).await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(
        text.contains(r#"berth_http_requests_total{route="/healthz",method="GET",status="200"} 1"#),
        "{text}"
    );
    assert!(!text.contains("welcome"), "no label names an instance");
    platform.stop().await;
}
