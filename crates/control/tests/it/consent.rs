//! From a client's request through a person's decision to its tokens, and everything that somebody may try on the way.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::browser::{Browser, csrf, location, text};
use crate::oauth::refusal;
use crate::platform::{Answer, Life, Platform, nobody};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CALLBACK: &str = "http://127.0.0.1:33418/callback";
const PASSWORD: &str = "correct horse battery staple";

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER.as_bytes()))
}

/// A platform whose admin has a password, and a client that registered itself.
async fn platform() -> (Platform, String) {
    let platform = Platform::start(nobody()).await;
    platform.set_password(&platform.owner, PASSWORD).await;
    let body = json!({ "client_name": "Cursor", "redirect_uris": ["http://127.0.0.1/callback"] });
    let made = platform.send(None, Method::POST, "/oauth/register", Some(body)).await;
    let id = made.json()["client_id"].as_str().unwrap().to_owned();
    (platform, id)
}

fn query(fields: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(fields);
    query.finish()
}

/// The parameters of a good request.
fn good<'a>(client: &'a str, challenge: &'a str, resource: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
        ("state", "s t"),
        ("resource", resource),
    ]
}

fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    form_urlencoded::parse(query.as_bytes()).find(|(of, _)| of == name).map(|(_, value)| value.into_owned())
}

/// Allows what a request asks for; where the browser is sent.
async fn allow(browser: &Browser<'_>, query: &str) -> String {
    let path = format!("/oauth/authorize?{query}");
    let fields = [("request", query), ("decision", "allow")];
    let answer = browser.submit(&path, "/oauth/authorize", &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", text(&answer));
    location(&answer).to_owned()
}

async fn redeem(platform: &Platform, fields: &[(&str, &str)]) -> Answer {
    let mut all = vec![("grant_type", "authorization_code"), ("redirect_uri", CALLBACK)];
    all.extend_from_slice(fields);
    platform.post_form("/oauth/token", &[], &all).await
}

async fn refresh(platform: &Platform, client: &str, token: &str) -> Answer {
    let fields = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
    platform.post_form("/oauth/token", &[], &fields).await
}

/// 503 when the token was good: the host is away.
async fn call(platform: &Platform, token: &str) -> u16 {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let path = "/mcp/default/welcome";
    platform.send(Some(token), Method::POST, path, Some(body)).await.status.as_u16()
}

fn of<'a>(given: &'a Value, name: &str) -> &'a str {
    given[name].as_str().unwrap()
}

#[tokio::test]
async fn a_person_allows_a_client_and_takes_it_back() {
    let (platform, client) = platform().await;
    let resource = format!("{}/mcp/default/welcome", platform.url());
    let challenge = challenge();
    let query = query(&good(&client, &challenge, &resource));
    let path = format!("/oauth/authorize?{query}");
    let browser = Browser::new(&platform);
    let away = browser.get(&path).await;
    assert_eq!(away.status, StatusCode::SEE_OTHER);
    assert!(location(&away).starts_with("/sign-in?next=/oauth/authorize"), "{}", location(&away));

    browser.sign_in("admin", PASSWORD).await;
    let page = browser.get(&path).await;
    let words = text(&page);
    for part in ["Cursor", "127.0.0.1:33418", "welcome", "call every tool of welcome", "nobody vouches"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' http://127.0.0.1:33418;"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");

    let to = allow(&browser, &query).await;
    assert!(to.starts_with(&format!("{CALLBACK}?code=")), "{to}");
    assert_eq!(parameter(&to, "state").as_deref(), Some("s t"));
    assert_eq!(parameter(&to, "iss"), Some(platform.url()));
    let code = parameter(&to, "code").unwrap();
    let given =
        redeem(&platform, &[("client_id", &client), ("code", &code), ("code_verifier", VERIFIER)]).await;
    assert_eq!(given.status, StatusCode::OK, "{given:?}");
    let given = given.json();
    assert_eq!(call(&platform, of(&given, "access_token")).await, 503);

    let next = refresh(&platform, &client, of(&given, "refresh_token")).await.json();
    assert_eq!(call(&platform, of(&next, "access_token")).await, 503);

    let grants = platform.get("/api/v1/oauth/grants").await.json();
    assert_eq!((&grants[0]["client_name"], &grants[0]["instance"]), (&json!("Cursor"), &json!("welcome")));
    let id = of(&grants[0], "id").to_owned();
    let stranger = platform.person("other", api::users::Role::Owner, Life::Good).await;
    let member = platform.person("default", api::users::Role::Member, Life::Good).await;
    for other in [&stranger, &member] {
        let theirs = platform.send(Some(other), Method::GET, "/api/v1/oauth/grants", None).await;
        assert_eq!(theirs.json(), json!([]));
        let path = format!("/api/v1/oauth/grants/{id}");
        assert_eq!(platform.send(Some(other), Method::DELETE, &path, None).await.status, 404);
    }
    let path = format!("/api/v1/oauth/grants/{id}");
    assert_eq!(platform.send(Some(&platform.owner), Method::DELETE, &path, None).await.status, 204);
    assert_eq!(call(&platform, of(&next, "access_token")).await, 401);
    let refused = refresh(&platform, &client, of(&next, "refresh_token")).await;
    assert_eq!(refusal(&refused), (400, "invalid_grant".to_owned()));
    let lines = platform.get("/api/v1/audit?object=Cursor").await.json();
    let acts: Vec<&str> = lines.as_array().unwrap().iter().map(|line| of(line, "action")).collect();
    assert_eq!(acts, ["grant.revoke", "grant.create"]);
    platform.stop().await;
}

#[tokio::test]
async fn what_a_person_refuses_or_does_not_have_goes_back_as_an_error() {
    let (platform, client) = platform().await;
    let challenge = challenge();
    let resource = format!("{}/mcp/default/welcome", platform.url());
    let browser = Browser::new(&platform);
    browser.sign_in("admin", PASSWORD).await;
    let request = query(&good(&client, &challenge, &resource));
    let path = format!("/oauth/authorize?{request}");
    let refused = browser.submit(&path, "/oauth/authorize", &[("request", &request), ("decision", "")]).await;
    assert_eq!(parameter(location(&refused), "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(location(&refused), "iss"), Some(platform.url()));

    let without = |name: &str| {
        let mut all = good(&client, &challenge, &resource);
        all.retain(|(of, _)| *of != name);
        all
    };
    let with = |name: &'static str, value: &'static str| {
        let mut all = without(name);
        all.push((name, value));
        all
    };
    let twice = |name: &'static str, value: &'static str| {
        let mut all = good(&client, &challenge, &resource);
        all.push((name, value));
        all
    };
    let other = format!("{}/mcp/other/x", platform.url());
    let mut elsewhere = without("resource");
    elsewhere.push(("resource", &other));
    // The client hears of these.
    for (fields, code) in [
        (with("response_type", "token"), "unsupported_response_type"),
        (without("response_type"), "invalid_request"),
        (without("code_challenge"), "invalid_request"),
        (without("code_challenge_method"), "invalid_request"),
        (with("code_challenge_method", "plain"), "invalid_request"),
        (with("code_challenge", "short"), "invalid_request"),
        (with("resource", "https://elsewhere.example/mcp"), "invalid_target"),
        (elsewhere, "invalid_target"),
        (twice("scope", "a"), ""),
        (twice("resource", "x"), "invalid_request"),
        (twice("code_challenge", "x"), "invalid_request"),
    ] {
        let answer = browser.get(&format!("/oauth/authorize?{}", query(&fields))).await;
        if code.is_empty() {
            assert_eq!(answer.status, StatusCode::OK, "scopes that are not ours are passed over");
            continue;
        }
        let to = location(&answer);
        assert!(to.starts_with(CALLBACK), "{fields:?}: {to} {}", text(&answer));
        assert_eq!(parameter(to, "error").as_deref(), Some(code), "{fields:?}");
        assert_eq!(parameter(to, "state").as_deref(), Some("s t"), "{fields:?}");
    }
    // The person hears of these, because where they would be sent cannot be trusted.
    for fields in [
        without("client_id"),
        with("client_id", "nobody"),
        with("redirect_uri", "http://127.0.0.1:33418/other"),
        with("redirect_uri", "http://127.0.0.1:33418/callback/../x"),
        with("redirect_uri", "http://127.0.0.1:33418/callback?x=1"),
        with("redirect_uri", "http://localhost:33418/callback"),
        with("redirect_uri", "https://evil.example/callback"),
        with("redirect_uri", "http://127.0.0.1:33418@evil.example/callback"),
        with("redirect_uri", "http://127.0.0.1.evil.example/callback"),
        with("redirect_uri", "javascript:alert(1)"),
        twice("redirect_uri", "https://evil.example/callback"),
        twice("client_id", "other"),
        with("client_id", "https://127.0.0.1/me.json"),
        with("client_id", "https://169.254.169.254/latest/meta-data"),
        with("client_id", "http://client.example/me.json"),
    ] {
        let answer = browser.get(&format!("/oauth/authorize?{}", query(&fields))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{fields:?}");
        assert_eq!(location(&answer), "", "{fields:?}");
    }
    platform.stop().await;
}

#[tokio::test]
async fn our_address_leads_to_no_site_that_somebody_registered() {
    let (platform, _) = platform().await;
    let body = json!({ "client_name": "Evil", "redirect_uris": ["https://evil.example/x"] });
    let made = platform.send(None, Method::POST, "/oauth/register", Some(body)).await.json();
    let browser = Browser::new(&platform);
    browser.sign_in("admin", PASSWORD).await;
    let fields = [
        ("client_id", of(&made, "client_id")),
        ("response_type", "token"),
        ("redirect_uri", "https://evil.example/x"),
    ];
    let answer = browser.get(&format!("/oauth/authorize?{}", query(&fields))).await;
    assert_eq!((answer.status, location(&answer)), (StatusCode::OK, ""));
    assert!(text(&answer).contains("Back to evil.example"), "{}", text(&answer));
    platform.stop().await;
}

#[tokio::test]
async fn a_code_is_good_once_for_its_client_its_verifier_and_its_place() {
    let (platform, client) = platform().await;
    let challenge = challenge();
    let resource = format!("{}/mcp/default/welcome", platform.url());
    let request = query(&good(&client, &challenge, &resource));
    let browser = Browser::new(&platform);
    browser.sign_in("admin", PASSWORD).await;
    let body = json!({ "redirect_uris": ["http://127.0.0.1/callback"] });
    let thief = platform.send(None, Method::POST, "/oauth/register", Some(body)).await.json();
    let thief = of(&thief, "client_id");
    let other = format!("{}/mcp/default/other", platform.url());
    let wrong_verifier = "x".repeat(43);
    for (what, fields, expected) in [
        ("no verifier", vec![("client_id", client.as_str())], "invalid_request"),
        (
            "another verifier",
            vec![("client_id", &client), ("code_verifier", &wrong_verifier)],
            "invalid_grant",
        ),
        ("the challenge", vec![("client_id", &client), ("code_verifier", &challenge)], "invalid_grant"),
        ("another client", vec![("client_id", thief), ("code_verifier", VERIFIER)], "invalid_grant"),
        (
            "another resource",
            vec![("client_id", &client), ("code_verifier", VERIFIER), ("resource", &other)],
            "invalid_target",
        ),
    ] {
        let code = parameter(&allow(&browser, &request).await, "code").unwrap();
        let mut all = fields.clone();
        all.push(("code", &code));
        assert_eq!(refusal(&redeem(&platform, &all).await), (400, expected.to_owned()), "{what}");
        let good = [("client_id", client.as_str()), ("code_verifier", VERIFIER), ("code", &code)];
        let burnt = redeem(&platform, &good).await.status;
        // Whoever showed it with something wrong has it from elsewhere. A request without a verifier is none.
        assert_eq!(burnt, if what == "no verifier" { 200 } else { 400 }, "{what}");
    }
    // To another place.
    let code = parameter(&allow(&browser, &request).await, "code").unwrap();
    let fields = [
        ("grant_type", "authorization_code"),
        ("redirect_uri", "http://127.0.0.1:1/callback"),
        ("client_id", &client),
        ("code_verifier", VERIFIER),
        ("code", &code),
    ];
    assert_eq!(
        refusal(&platform.post_form("/oauth/token", &[], &fields).await),
        (400, "invalid_grant".to_owned())
    );
    // Twice: what it gave is revoked, because one of the two had no right to it.
    let code = parameter(&allow(&browser, &request).await, "code").unwrap();
    let fields = [("client_id", client.as_str()), ("code", &code), ("code_verifier", VERIFIER)];
    let given = redeem(&platform, &fields).await.json();
    assert_eq!(call(&platform, of(&given, "access_token")).await, 503);
    assert_eq!(refusal(&redeem(&platform, &fields).await), (400, "invalid_grant".to_owned()));
    assert_eq!(call(&platform, of(&given, "access_token")).await, 401);
    let refused = refresh(&platform, &client, of(&given, "refresh_token")).await;
    assert_eq!(refusal(&refused), (400, "invalid_grant".to_owned()));
    platform.stop().await;
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_everything() {
    let (platform, client) = platform().await;
    let challenge = challenge();
    let resource = format!("{}/mcp/default/welcome", platform.url());
    let request = query(&good(&client, &challenge, &resource));
    let browser = Browser::new(&platform);
    browser.sign_in("admin", PASSWORD).await;
    let code = parameter(&allow(&browser, &request).await, "code").unwrap();
    let fields = [("client_id", client.as_str()), ("code", &code), ("code_verifier", VERIFIER)];
    let first = redeem(&platform, &fields).await.json();
    let stolen = of(&first, "refresh_token");
    let body = json!({ "redirect_uris": ["http://127.0.0.1/callback"] });
    let thief = platform.send(None, Method::POST, "/oauth/register", Some(body)).await.json();
    let refused = refresh(&platform, of(&thief, "client_id"), stolen).await;
    assert_eq!(refusal(&refused), (400, "invalid_grant".to_owned()));
    let second = refresh(&platform, &client, stolen).await;
    assert_eq!(second.status, StatusCode::OK, "another client's attempt took nothing: {second:?}");
    let second = second.json();
    let more = [
        ("grant_type", "refresh_token"),
        ("client_id", client.as_str()),
        ("refresh_token", of(&second, "refresh_token")),
        ("scope", "admin"),
    ];
    assert_eq!(
        refusal(&platform.post_form("/oauth/token", &[], &more).await),
        (400, "invalid_scope".to_owned())
    );
    let third = refresh(&platform, &client, of(&second, "refresh_token")).await;
    assert_eq!(third.status, StatusCode::OK, "a refused request took nothing: {third:?}");
    assert_eq!(refusal(&refresh(&platform, &client, stolen).await), (400, "invalid_grant".to_owned()));
    let third = third.json();
    assert_eq!(call(&platform, of(&third, "access_token")).await, 401, "the thief's and the client's alike");
    let refused = refresh(&platform, &client, of(&third, "refresh_token")).await;
    assert_eq!(refusal(&refused), (400, "invalid_grant".to_owned()));
    platform.stop().await;
}

#[tokio::test]
async fn nobody_allows_in_another_persons_name() {
    let (platform, client) = platform().await;
    let challenge = challenge();
    let resource = format!("{}/mcp/default/welcome", platform.url());
    let request = query(&good(&client, &challenge, &resource));
    let path = format!("/oauth/authorize?{request}");
    let browser = Browser::new(&platform);
    browser.sign_in("admin", PASSWORD).await;
    let form = csrf(&browser.get(&path).await);
    let own = format!("http://{}", platform.address);
    // A form of another site, with and without the text; one of ours without it.
    for (headers, csrf_text) in [
        (vec![("origin", "https://evil.example")], form.as_str()),
        (vec![("origin", "null")], &form),
        (vec![], &form),
        (vec![("origin", own.as_str()), ("sec-fetch-site", "cross-site")], &form),
        (vec![("origin", own.as_str())], ""),
        (vec![("origin", own.as_str())], "x"),
    ] {
        let all = [("request", request.as_str()), ("decision", "allow"), ("csrf", csrf_text)];
        let answer = browser.send(Method::POST, "/oauth/authorize", &headers, Some(&all)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?} {csrf_text}");
    }
    // What a form carries is read anew: a request that was changed is judged as if it came by link.
    let evil = request.replace("%2Fcallback", "%2Felsewhere");
    let all = [("request", evil.as_str()), ("decision", "allow"), ("csrf", &form)];
    let answer = browser.post("/oauth/authorize", &all).await;
    assert_eq!((answer.status, location(&answer)), (StatusCode::BAD_REQUEST, ""));
    assert_eq!(platform.get("/api/v1/oauth/grants").await.json(), json!([]));
    platform.stop().await;
}

#[tokio::test]
async fn an_older_client_gets_what_the_person_chooses_and_nothing_else() {
    let (platform, client) = platform().await;
    platform.deploy("other").await;
    let challenge = challenge();
    let mut fields = good(&client, &challenge, "");
    fields.retain(|(name, _)| *name != "resource");
    let request = query(&fields);
    let path = format!("/oauth/authorize?{request}");
    let browser = Browser::new(&platform);
    browser.sign_in("admin", PASSWORD).await;
    let page = text(&browser.get(&path).await);
    assert!(page.contains("/mcp/default/other") && page.contains("/mcp/default/welcome"), "{page}");
    let decide = async |server: &str| {
        let fields = [("request", request.as_str()), ("decision", "allow"), ("server", server)];
        browser.submit(&path, "/oauth/authorize", &fields).await
    };
    for none in ["", "/", "/mcp/default", "https://evil.example/mcp/default/welcome"] {
        let answer = decide(none).await;
        assert!(text(&answer).contains("Choose the server"), "{none}");
    }
    let to = decide("/mcp/other/x").await;
    assert_eq!(parameter(location(&to), "error").as_deref(), Some("invalid_target"));
    let code = parameter(location(&decide("/mcp/default/welcome").await), "code").unwrap();
    let given = redeem(&platform, &[("client_id", &client), ("code", &code), ("code_verifier", VERIFIER)])
        .await
        .json();
    assert_eq!(given["scope"], "mcp:call:welcome");
    assert_eq!(call(&platform, of(&given, "access_token")).await, 503);
    platform.stop().await;
}

#[tokio::test]
async fn a_person_types_the_code_of_a_device() {
    let (platform, _) = platform().await;
    let body = json!({
        "client_name": "Robot", "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    });
    let robot = platform.send(None, Method::POST, "/oauth/register", Some(body)).await.json();
    let robot = of(&robot, "client_id");
    let resource = format!("{}/mcp/default/welcome", platform.url());
    let browser = Browser::new(&platform);
    browser.sign_in("admin", PASSWORD).await;
    for (decision, outcome) in [("allow", 200), ("refuse", 400)] {
        let fields = [("client_id", robot), ("resource", &resource)];
        let begun = platform.post_form("/oauth/device", &[], &fields).await.json();
        let typed = of(&begun, "user_code").to_ascii_lowercase();
        let page = browser.submit("/device", "/device", &[("user_code", &typed)]).await;
        assert!(text(&page).contains("Robot") && text(&page).contains("welcome"), "{}", text(&page));
        let fields = [("request", of(&begun, "user_code")), ("decision", decision)];
        let done = browser.submit("/device", "/device/decision", &fields).await;
        assert_eq!(done.status, StatusCode::OK, "{}", text(&done));
        let again = browser.submit("/device", "/device/decision", &fields).await;
        assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "decided already");
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", robot),
            ("device_code", of(&begun, "device_code")),
        ];
        let given = platform.post_form("/oauth/token", &[], &fields).await;
        assert_eq!(given.status, outcome, "{given:?}");
        if outcome == 200 {
            assert_eq!(call(&platform, of(&given.json(), "access_token")).await, 503);
            let again = platform.post_form("/oauth/token", &[], &fields).await;
            assert_eq!(refusal(&again), (400, "invalid_grant".to_owned()), "a code is good once");
        } else {
            assert_eq!(refusal(&given), (400, "access_denied".to_owned()));
        }
    }
    let mut last = StatusCode::OK;
    for _ in 0..20 {
        last = browser.submit("/device", "/device", &[("user_code", "BBBB-BBBB")]).await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS, "codes are not guessed");
    platform.stop().await;
}

#[tokio::test]
async fn who_leaves_the_account_takes_their_clients_along() {
    let (platform, client) = platform().await;
    let made = platform.post("/api/v1/invitations", json!({ "role": "member" })).await.json();
    let link = of(&made, "url").strip_prefix(&platform.url()).unwrap();
    let browser = Browser::new(&platform);
    let joined = browser.post(link, &[("name", "mary"), ("password", PASSWORD)]).await;
    assert_eq!(joined.status, StatusCode::SEE_OTHER, "{}", text(&joined));
    let resource = format!("{}/mcp/default/welcome", platform.url());
    let challenge = challenge();
    // Nothing waits between joining, allowing and leaving: each counts at once.
    let to = allow(&browser, &query(&good(&client, &challenge, &resource))).await;
    let code = parameter(&to, "code").unwrap();
    let fields = [("client_id", client.as_str()), ("code", &code), ("code_verifier", VERIFIER)];
    let given = redeem(&platform, &fields).await.json();
    assert_eq!(call(&platform, of(&given, "access_token")).await, 503);
    let removed = platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/members/mary", None).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{removed:?}");
    assert_eq!(call(&platform, of(&given, "access_token")).await, 401);
    let refused = refresh(&platform, &client, of(&given, "refresh_token")).await;
    assert_eq!(refusal(&refused), (400, "invalid_grant".to_owned()));
    platform.stop().await;
}
