//! Users of a Supabase project come with its tokens, as the older platform's front end does.

use http::{Method, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::platform::{Answer, Platform, nobody};

pub(crate) const SECRET: &str = "super-secret-jwt-token-with-at-least-32-characters";
pub(crate) const PROJECT: &str = "https://abc.supabase.co";

/// A token as Supabase's authentication makes them.
pub(crate) fn token(subject: &str, change: impl FnOnce(&mut Value)) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "iss": format!("{PROJECT}/auth/v1"), "sub": subject, "aud": "authenticated", "exp": now + 3600, "iat": now,
        "email": format!("{subject}@example.com"), "phone": "", "role": "authenticated", "aal": "aal1",
        "app_metadata": { "provider": "email" }, "user_metadata": {}, "session_id": "8a64", "is_anonymous": false,
    });
    change(&mut claims);
    jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap()
}

type Change = Box<dyn Fn(&mut Value)>;

async fn platform() -> Platform {
    Platform::start_with(nobody(), |config| {
        let secret = domain::secret::Secret::new(SECRET);
        config.issuers = vec![control::Issuer::supabase(PROJECT, Some(secret))];
    })
    .await
}

#[tokio::test]
async fn a_user_of_supabase_sees_and_deploys_their_own_alone() {
    let platform = platform().await;
    let ask = async |token: &str, method: Method, path: &str, body: Option<Value>| -> Answer {
        platform.send(Some(token), method, path, body).await
    };
    let (ada, bob) = (token("ada", |_| {}), token("bob", |_| {}));
    let who = ask(&ada, Method::GET, "/api/v1/whoami", None).await.json();
    let account = who["account_name"].as_str().unwrap().to_owned();
    assert!(account.starts_with("ada-"), "{who}");
    assert_eq!((&who["role"], &who["user_name"]), (&json!("owner"), &who["account_name"]));
    // A later token of the same person is the same person.
    let later = token("ada", |claims| claims["session_id"] = json!("other"));
    assert_eq!(ask(&later, Method::GET, "/api/v1/whoami", None).await.json()["user"], who["user"]);

    let host = json!({ "name": "far", "kind": "host", "address": "10.0.0.5:30000", "insecure_http": true });
    let added = ask(&ada, Method::POST, "/api/v1/environments", Some(host)).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    let deploy = json!({ "server": "welcome", "name": "mine", "environment": "far" });
    let made = ask(&ada, Method::POST, "/api/v1/instances", Some(deploy)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(ask(&ada, Method::GET, "/api/v1/instances", None).await.json().as_array().unwrap().len(), 1);
    for (method, path) in [
        (Method::GET, "/api/v1/instances/mine"),
        (Method::DELETE, "/api/v1/instances/mine"),
        (Method::GET, "/api/v1/environments/far"),
        (Method::GET, "/api/v1/instances/welcome"),
    ] {
        assert_eq!(
            ask(&bob, method.clone(), path, None).await.status,
            StatusCode::NOT_FOUND,
            "{method} {path}"
        );
    }
    assert_eq!(ask(&bob, Method::GET, "/api/v1/instances", None).await.json(), json!([]));
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let address = format!("/mcp/{account}/mine");
    for (token, status) in [(&ada, 503), (&bob, 404)] {
        let answer = ask(token, Method::POST, &address, Some(call.clone())).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    for (what, token) in [
        ("anonymous", token("ada", |claims| claims["role"] = json!("anon"))),
        ("the project's own", token("ada", |claims| claims["role"] = json!("service_role"))),
        ("over", token("ada", |claims| claims["exp"] = json!(1_700_000_000))),
        (
            "of another project",
            token("ada", |claims| claims["iss"] = json!("https://other.supabase.co/auth/v1")),
        ),
        ("for others", token("ada", |claims| claims["aud"] = json!("other"))),
    ] {
        let answer = ask(&token, Method::GET, "/api/v1/whoami", None).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
        assert_eq!(ask(&token, Method::POST, &address, Some(call.clone())).await.status, 401, "{what}");
    }
    platform.stop().await;
}

#[tokio::test]
async fn whom_an_admin_takes_out_stays_out() {
    let platform = Platform::start_with(nobody(), |config| {
        let mut issuer = control::Issuer::supabase(PROJECT, Some(domain::secret::Secret::new(SECRET)));
        issuer.account = control::IssuerAccount::One("default".parse().unwrap(), api::users::Role::Viewer);
        config.issuers = vec![issuer];
    })
    .await;
    let ada = token("ada", |_| {});
    let who = platform.send(Some(&ada), Method::GET, "/api/v1/whoami", None).await.json();
    assert_eq!((&who["account_name"], &who["role"]), (&json!("default"), &json!("viewer")));
    let deploy = json!({ "server": "welcome", "name": "mine" });
    let refused = platform.send(Some(&ada), Method::POST, "/api/v1/instances", Some(deploy)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let path = format!("/api/v1/members/{}", who["user_name"].as_str().unwrap());
    let gone = platform.send(Some(&platform.owner), Method::DELETE, &path, None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
    let answer = platform.send(Some(&ada), Method::GET, "/api/v1/whoami", None).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    platform.stop().await;
}

#[tokio::test]
async fn an_identity_provider_vouches_for_a_person_once() {
    let platform = Platform::start_with(nobody(), |config| {
        let mut issuer = control::Issuer::supabase(PROJECT, Some(domain::secret::Secret::new(SECRET)));
        issuer.account = control::IssuerAccount::One("default".parse().unwrap(), api::users::Role::Viewer);
        config.issuers = vec![issuer];
    })
    .await;
    let metadata = platform.get("/.well-known/oauth-authorization-server").await.json();
    let profile = json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
    assert_eq!(metadata["authorization_grant_profiles_supported"], profile);
    let (client, authorization) = crate::oauth::confidential(&platform, &[]).await;
    let resource = format!("{}/mcp/default/welcome", platform.url());
    let assertion = |id: &str, kind: &str, change: &dyn Fn(&mut Value)| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": format!("{PROJECT}/auth/v1"), "sub": "ada", "aud": platform.url(), "client_id": client, "jti": id,
            "iat": now, "exp": now + 300, "resource": resource, "scope": "mcp:call:welcome/echo",
        });
        change(&mut claims);
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(kind.to_owned());
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    };
    let show = async |assertion: &str, more: &[(&str, &str)]| {
        let mut fields =
            vec![("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion)];
        fields.extend_from_slice(more);
        platform.post_form("/oauth/token", &[("authorization", authorization.as_str())], &fields).await
    };
    let good = assertion("1", "oauth-id-jag+jwt", &|_| {});
    let given = show(&good, &[]).await;
    assert_eq!(given.status, StatusCode::OK, "{given:?}");
    let given = given.json();
    assert_eq!(given["scope"], "mcp:call:welcome/echo");
    assert!(given["refresh_token"].is_null(), "the next one takes another word");
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let token = given["access_token"].as_str().unwrap();
    let answer = platform.send(Some(token), Method::POST, "/mcp/default/welcome", Some(call)).await;
    assert_eq!(answer.status, 503, "the host is away: {answer:?}");
    let set =
        |name: &'static str, value: Value| -> Change { Box::new(move |claims| claims[name] = value.clone()) };
    for (what, kind, change, code) in [
        ("again", "oauth-id-jag+jwt", set("jti", json!("1")), "invalid_grant"),
        ("another type", "JWT", set("jti", json!("2")), "invalid_grant"),
        ("another client's", "oauth-id-jag+jwt", set("client_id", json!("x")), "invalid_grant"),
        ("for another server", "oauth-id-jag+jwt", set("aud", json!("https://x")), "invalid_grant"),
        ("over", "oauth-id-jag+jwt", set("exp", json!(1_700_000_000)), "invalid_grant"),
        ("for too long", "oauth-id-jag+jwt", set("exp", json!(4_000_000_000_u64)), "invalid_grant"),
        ("of nobody we know", "oauth-id-jag+jwt", set("iss", json!("https://x")), "invalid_grant"),
        (
            "elsewhere",
            "oauth-id-jag+jwt",
            set("resource", json!("https://x/mcp/default/welcome")),
            "invalid_target",
        ),
    ] {
        let refused = show(&assertion(what, kind, &*change), &[]).await;
        assert_eq!(crate::oauth::refusal(&refused), (400, code.to_owned()), "{what}");
    }
    let more = show(&assertion("3", "oauth-id-jag+jwt", &|_| {}), &[("scope", "mcp:call:welcome")]).await;
    assert_eq!(crate::oauth::refusal(&more), (400, "invalid_scope".to_owned()));
    platform.stop().await;
}
