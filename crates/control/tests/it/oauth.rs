//! The authorization server as clients see it, but for what takes a person at a browser.

use http::Method;
use serde_json::{Value, json};

use crate::platform::{Answer, Platform, nobody};

/// The code of an OAuth error, with its status.
pub(crate) fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["error"].as_str().unwrap_or("-").to_owned())
}

/// A client of the account `default` with a secret: its id and the value of `Authorization`.
pub(crate) async fn confidential(platform: &Platform, redirect_uris: &[&str]) -> (String, String) {
    let body = json!({ "name": "Robot", "redirect_uris": redirect_uris });
    let made = platform.post("/api/v1/oauth/clients", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let (id, secret) = (made["id"].as_str().unwrap().to_owned(), made["client_secret"].as_str().unwrap());
    (id.clone(), basic(&id, secret))
}

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}")))
}

async fn by_credentials(platform: &Platform, authorization: &str, fields: &[(&str, &str)]) -> Answer {
    let mut all = vec![("grant_type", "client_credentials")];
    all.extend_from_slice(fields);
    platform.post_form("/oauth/token", &[("authorization", authorization)], &all).await
}

/// An access token of the admin's for a path of ours.
pub(crate) async fn access_token(platform: &Platform, path: &str) -> String {
    let (_, authorization) = confidential(platform, &[]).await;
    let resource = format!("{}{path}", platform.url());
    let given = by_credentials(platform, &authorization, &[("resource", &resource)]).await;
    given.json()["access_token"].as_str().unwrap().to_owned()
}

/// The status of a call of the instance `welcome`, whose host is away: 503 when the token was good.
async fn call(platform: &Platform, token: &str, path: &str) -> u16 {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    platform.send(Some(token), Method::POST, path, Some(body)).await.status.as_u16()
}

#[tokio::test]
async fn documents_are_where_clients_look_and_name_the_address_that_they_came_by() {
    let platform = Platform::start(nobody()).await;
    let port = platform.address.port();
    let at =
        async |path: &str, host: &str| platform.send_with(None, Method::GET, path, &[("host", host)]).await;
    for (host, base) in [
        (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}")),
        (format!("localhost:{port}"), format!("http://localhost:{port}")),
        ("evil.example".to_owned(), format!("http://127.0.0.1:{port}")),
    ] {
        for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
            let document = at(path, &host).await;
            assert_eq!(document.headers["access-control-allow-origin"], "*");
            let document = document.json();
            assert_eq!(document["issuer"], base, "{host}");
            assert_eq!(document["token_endpoint"], format!("{base}/oauth/token"));
            assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
            assert_eq!(document["authorization_response_iss_parameter_supported"], true);
            assert_eq!(document["client_id_metadata_document_supported"], true);
        }
        for (path, scopes) in [
            ("", json!(["read", "deploy", "admin"])),
            ("/mcp/default/welcome", json!(["mcp:call:welcome"])),
            ("/mcp/default/welcome/sse", json!(["mcp:call:welcome"])),
            // As of one that is there.
            ("/mcp/other/nothing", json!(["mcp:call:nothing"])),
        ] {
            let document = at(&format!("/.well-known/oauth-protected-resource{path}"), &host).await.json();
            assert_eq!(document["resource"], format!("{base}{path}"), "{host}");
            assert_eq!(document["authorization_servers"], json!([base]));
            assert_eq!(document["scopes_supported"], scopes);
        }
    }
    for path in ["/mcp/default", "/mcp/default/a/b", "/mcp/default/%22", "/elsewhere"] {
        let answer = at(&format!("/.well-known/oauth-protected-resource{path}"), "x").await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let keys = at("/oauth/keys", "x").await.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    assert!(keys["keys"][0]["d"].is_null(), "no private key");
    platform.stop().await;
}

#[tokio::test]
async fn clients_register_themselves_with_what_is_allowed() {
    let platform = Platform::start(nobody()).await;
    let register = async |body: Value| platform.send(None, Method::POST, "/oauth/register", Some(body)).await;
    let plain =
        register(json!({ "client_name": "Tool\u{202e}x", "redirect_uris": ["http://127.0.0.1/cb"] })).await;
    assert_eq!((plain.status.as_u16(), &plain.headers["cache-control"]), (201, &"no-store".parse().unwrap()));
    let plain = plain.json();
    assert_eq!(plain["client_name"], "Toolx", "no characters that turn others around");
    assert_eq!(plain["token_endpoint_auth_method"], "none");
    assert!(plain["client_secret"].is_null());
    let secret = register(json!({
        "redirect_uris": ["https://app.example/cb"], "token_endpoint_auth_method": "client_secret_post",
        "application_type": "web", "grant_types": ["authorization_code", "client_credentials"],
    }))
    .await
    .json();
    assert!(secret["client_secret"].as_str().unwrap().starts_with("berth_"), "{secret}");
    assert_eq!(secret["grant_types"], json!(["authorization_code"]), "none that acts for nobody");
    for (body, code) in [
        (json!({}), "invalid_redirect_uri"),
        (json!({ "redirect_uris": [] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["http://app.example/cb"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["javascript:alert(1)"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["https://app.example/cb#x"] }), "invalid_redirect_uri"),
        (
            json!({ "redirect_uris": ["http://127.0.0.1/cb"], "application_type": "web" }),
            "invalid_redirect_uri",
        ),
        (
            json!({ "redirect_uris": ["https://a.example"], "application_type": "x" }),
            "invalid_client_metadata",
        ),
        (
            json!({ "redirect_uris": ["https://a.example"], "token_endpoint_auth_method": "tls_client_auth" }),
            "invalid_client_metadata",
        ),
        (
            json!({ "redirect_uris": ["https://a.example"], "token_endpoint_auth_method": "private_key_jwt" }),
            "invalid_client_metadata",
        ),
        (json!({ "redirect_uris": "https://a.example" }), "invalid_client_metadata"),
        (
            json!({ "redirect_uris": ["https://a.example"], "software_id": "x".repeat(20_000) }),
            "invalid_client_metadata",
        ),
    ] {
        assert_eq!(refusal(&register(body.clone()).await), (400, code.to_owned()), "{body}");
    }
    let mut last = 201;
    for _ in 0..40 {
        last = register(json!({ "redirect_uris": ["https://a.example"] })).await.status.as_u16();
    }
    assert_eq!(last, 429, "one address does not fill the table");
    platform.stop().await;
}

#[tokio::test]
async fn a_client_gets_tokens_for_itself_and_each_is_for_one_address() {
    let platform = Platform::start(nobody()).await;
    platform.deploy("other").await;
    let (id, authorization) = confidential(&platform, &[]).await;
    let welcome = format!("{}/mcp/default/welcome", platform.url());
    let token = async |resource: &str, scope: &str| {
        let given =
            by_credentials(&platform, &authorization, &[("resource", resource), ("scope", scope)]).await;
        assert_eq!(given.status, 200, "{given:?}");
        given.json()
    };
    let given = token(&welcome, "openid").await;
    assert_eq!((&given["scope"], &given["token_type"]), (&json!("mcp:call:welcome"), &json!("Bearer")));
    let of_welcome = given["access_token"].as_str().unwrap();
    assert_eq!(call(&platform, of_welcome, "/mcp/default/welcome").await, 503);
    assert_eq!(call(&platform, of_welcome, "/mcp/default/welcome/sse").await, 503);
    assert_eq!(call(&platform, of_welcome, "/mcp/default/other").await, 401);
    let api = async |token: &str| {
        platform.send(Some(token), Method::GET, "/api/v1/whoami", None).await.status.as_u16()
    };
    assert_eq!(api(of_welcome).await, 401, "another audience");

    let given = token(&platform.url(), "").await;
    assert_eq!(given["scope"], "read");
    let of_api = given["access_token"].as_str().unwrap();
    assert_eq!(api(of_api).await, 200);
    assert_eq!(call(&platform, of_api, "/mcp/default/welcome").await, 401, "another audience");
    let deploy = json!({ "server": "welcome", "name": "third" });
    let refused = platform.send(Some(of_api), Method::POST, "/api/v1/instances", Some(deploy)).await;
    assert_eq!(refused.status, 403, "it is for reading");

    for (fields, code) in [
        (vec![], "invalid_request"),
        (vec![("resource", "https://elsewhere.example/mcp/default/welcome")], "invalid_target"),
        (vec![("resource", "welcome")], "invalid_target"),
        (vec![("resource", welcome.as_str()), ("resource", welcome.as_str())], "invalid_request"),
    ] {
        let refused = by_credentials(&platform, &authorization, &fields).await;
        assert_eq!(refusal(&refused), (400, code.to_owned()), "{fields:?}");
    }
    let unknown = format!("{}/mcp/default/nothing", platform.url());
    let refused = by_credentials(&platform, &authorization, &[("resource", &unknown)]).await;
    assert_eq!(refusal(&refused), (400, "invalid_target".to_owned()));
    for (authorization, fields) in [
        (basic(&id, "wrong"), vec![]),
        (basic("nobody", "wrong"), vec![]),
        (authorization.clone(), vec![("client_secret", "both")]),
        (authorization.clone(), vec![("client_id", "another")]),
        ("Bearer x".to_owned(), vec![]),
    ] {
        let mut fields = fields;
        fields.push(("resource", welcome.as_str()));
        let refused = by_credentials(&platform, &authorization, &fields).await;
        assert_eq!(refusal(&refused), (401, "invalid_client".to_owned()), "{authorization} {fields:?}");
        assert!(refused.headers.contains_key("www-authenticate"));
    }

    // Coming again makes no further grant; looking into a token and giving it back.
    assert_eq!(token(&welcome, "").await["scope"], "mcp:call:welcome");
    let grants = platform.get("/api/v1/oauth/grants").await.json();
    assert_eq!(grants.as_array().unwrap().len(), 2, "{grants}");
    let look = async |authorization: &str, token: &str| {
        platform
            .post_form("/oauth/introspect", &[("authorization", authorization)], &[("token", token)])
            .await
    };
    let seen = look(&authorization, of_welcome).await.json();
    assert_eq!(
        (&seen["active"], &seen["aud"], &seen["client_id"]),
        (&json!(true), &json!(welcome), &json!(id))
    );
    let (_, stranger) = confidential(&platform, &[]).await;
    assert_eq!(look(&stranger, of_welcome).await.json(), json!({ "active": false }));
    let back = async |authorization: &str| {
        let fields = [("token", of_welcome)];
        platform.post_form("/oauth/revoke", &[("authorization", authorization)], &fields).await.status
    };
    assert_eq!(back(&stranger).await, 200);
    assert_eq!(call(&platform, of_welcome, "/mcp/default/welcome").await, 503, "not a stranger's to revoke");
    assert_eq!(back(&authorization).await, 200);
    assert_eq!(call(&platform, of_welcome, "/mcp/default/welcome").await, 401);
    assert_eq!(look(&authorization, of_welcome).await.json(), json!({ "active": false }));

    // With the client goes what it was allowed.
    let gone = platform
        .send(Some(&platform.owner), Method::DELETE, &format!("/api/v1/oauth/clients/{id}"), None)
        .await;
    assert_eq!(gone.status, 204);
    assert_eq!(api(of_api).await, 401);
    let refused = by_credentials(&platform, &authorization, &[("resource", &welcome)]).await;
    assert_eq!(refusal(&refused), (401, "invalid_client".to_owned()));
    platform.stop().await;
}

#[tokio::test]
async fn requests_that_are_none() {
    let platform = Platform::start(nobody()).await;
    let (_, authorization) = confidential(&platform, &[]).await;
    let headers = [("authorization", authorization.as_str())];
    for (fields, code) in [
        (vec![], "invalid_request"),
        (vec![("grant_type", "password")], "unsupported_grant_type"),
        (vec![("grant_type", "implicit")], "unsupported_grant_type"),
        (vec![("grant_type", "authorization_code")], "invalid_request"),
        (vec![("grant_type", "authorization_code"), ("code", "x"), ("code_verifier", "x")], "invalid_grant"),
        (vec![("grant_type", "refresh_token"), ("refresh_token", "x")], "invalid_grant"),
        (
            vec![("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", "x")],
            "invalid_grant",
        ),
    ] {
        let answer = platform.post_form("/oauth/token", &headers, &fields).await;
        assert_eq!(refusal(&answer), (400, code.to_owned()), "{fields:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let json = platform.send(None, Method::POST, "/oauth/token", Some(json!({}))).await;
    assert_eq!(refusal(&json), (400, "invalid_request".to_owned()));
    let large = "x".repeat(70_000);
    let answer = platform.post_form("/oauth/token", &headers, &[("grant_type", &large)]).await;
    assert_eq!(answer.status, 413);
    platform.stop().await;
}

#[tokio::test]
async fn a_device_waits_for_a_person() {
    let platform = Platform::start(nobody()).await;
    let (id, authorization) = confidential(&platform, &[]).await;
    let headers = [("authorization", authorization.as_str())];
    let resource = format!("{}/mcp/default/welcome", platform.url());
    let begun = platform.post_form("/oauth/device", &headers, &[("resource", &resource)]).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let begun = begun.json();
    let page = format!("{}/device", platform.url());
    assert_eq!(begun["verification_uri"], page);
    assert_eq!(
        begun["verification_uri_complete"],
        format!("{page}?user_code={}", begun["user_code"].as_str().unwrap())
    );
    let poll = async |code: &str| {
        let fields = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code)];
        refusal(&platform.post_form("/oauth/token", &headers, &fields).await)
    };
    let code = begun["device_code"].as_str().unwrap();
    assert_eq!(poll(code).await, (400, "authorization_pending".to_owned()));
    assert_eq!(poll(code).await, (400, "slow_down".to_owned()));
    assert_eq!(poll("x").await, (400, "invalid_grant".to_owned()));
    let bad =
        platform.post_form("/oauth/device", &headers, &[("resource", "https://elsewhere.example")]).await;
    assert_eq!(refusal(&bad), (400, "invalid_target".to_owned()), "{id}");
    platform.stop().await;
}
