//! Authorization at a server that runs elsewhere, with an authorization server that the test decides over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use api::users::Role;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use fetch::Reach;
use http::Method;
use serde_json::{Value, json};

use crate::browser::{Browser, text};
use crate::platform::{Answer, Life, Platform, audit_lines, nobody};

/// Says what comes of the next requests, and remembers them.
#[derive(Debug, Default)]
struct Fake {
    url: String,
    /// Seconds that a token lives.
    lifetime: Option<u64>,
    /// Answers every request to the token endpoint.
    refuses: Option<(u16, &'static str)>,
    /// Tokens given so far; a refresh token is the number of the one it came with, and good once.
    given: u64,
    used: Vec<u64>,
    registrations: u64,
    forms: Vec<BTreeMap<String, String>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Elsewhere(Arc<Mutex<Fake>>);

impl Elsewhere {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let elsewhere = Self(Arc::new(Mutex::new(Fake { url, lifetime: Some(3600), ..Fake::default() })));
        let router = Router::new()
            .route("/.well-known/oauth-protected-resource/mcp", get(resource))
            .route("/.well-known/oauth-authorization-server", get(server))
            .route("/register", post(register))
            .route("/token", post(token))
            .with_state(elsewhere.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        elsewhere
    }

    fn fake(&self) -> MutexGuard<'_, Fake> {
        self.0.lock().unwrap()
    }

    fn server(&self) -> String {
        format!("{}/mcp", self.fake().url)
    }
}

async fn resource(State(elsewhere): State<Elsewhere>) -> Json<Value> {
    let url = elsewhere.fake().url.clone();
    Json(json!({ "resource": format!("{url}/mcp"), "authorization_servers": [url] }))
}

async fn server(State(elsewhere): State<Elsewhere>) -> Json<Value> {
    let url = elsewhere.fake().url.clone();
    Json(json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "registration_endpoint": format!("{url}/register"),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    }))
}

async fn register(State(elsewhere): State<Elsewhere>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    elsewhere.fake().registrations += 1;
    let client =
        json!({ "client_id": "c", "client_secret": "canary-client", "redirect_uris": body["redirect_uris"] });
    (StatusCode::CREATED, Json(client))
}

async fn token(
    State(elsewhere): State<Elsewhere>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, Json<Value>) {
    let form: BTreeMap<String, String> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    assert!(headers["authorization"].to_str().unwrap().starts_with("Basic "));
    // Longer than it takes to ask twice, were it not for the claim.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let mut fake = elsewhere.fake();
    fake.forms.push(form.clone());
    if let Some((status, error)) = fake.refuses {
        return (StatusCode::from_u16(status).unwrap(), Json(json!({ "error": error })));
    }
    let is_good = match form.get("refresh_token") {
        Some(shown) => {
            let number: u64 = shown.strip_prefix("canary-refresh-").unwrap().parse().unwrap();
            let is_good = number == fake.given && !fake.used.contains(&number);
            fake.used.push(number);
            is_good
        }
        None => form.get("code").map(String::as_str) == Some("good"),
    };
    if !is_good {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" })));
    }
    fake.given += 1;
    let mut answer = json!({
        "access_token": format!("canary-access-{}", fake.given),
        "refresh_token": format!("canary-refresh-{}", fake.given),
        "token_type": "Bearer",
    });
    if let Some(lifetime) = fake.lifetime {
        answer["expires_in"] = json!(lifetime);
    }
    (StatusCode::OK, Json(answer))
}

pub(crate) const PATH: &str = "/api/v1/instances/notes/authorization";
const CALLBACK: &str = "/oauth/upstream/callback";
const PASSWORD: &str = "correct horse battery staple";

/// A platform with the instance `notes`, and its id.
pub(crate) async fn deployed(reach: Reach) -> (Platform, Elsewhere, String) {
    deployed_as(reach, json!({})).await
}

/// As [`deployed`], with more in the request.
pub(crate) async fn deployed_as(reach: Reach, more: Value) -> (Platform, Elsewhere, String) {
    let elsewhere = Elsewhere::start().await;
    let platform = Platform::start_with(nobody(), |config| config.outside = reach).await;
    let mut body = json!({ "server": elsewhere.server(), "name": "notes" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let instance = platform.post("/api/v1/instances", body).await.json();
    let id = instance["id"].as_str().unwrap().to_owned();
    (platform, elsewhere, id)
}

/// What the host of `notes` is answered.
pub(crate) async fn ask(platform: &Platform, id: &str, wanted: Value) -> Answer {
    let body = json!({ "instance": id, "wanted": wanted });
    let token = platform.local.dtma_token.expose();
    platform.send(Some(token), Method::POST, "/api/v1/dtma/upstream-token", Some(body)).await
}

async fn asked(platform: &Platform, id: &str, reason: &str, refused: Option<u64>) -> Value {
    let mut wanted = json!({ "reason": reason });
    if let Some(refused) = refused {
        wanted["refused"] = json!(refused);
    }
    let answer = ask(platform, id, wanted).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer.json()
}

pub(crate) async fn begin(platform: &Platform) -> BTreeMap<String, String> {
    let answer = platform.post(PATH, json!({})).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let started = answer.json();
    let (_, query) = started["url"].as_str().unwrap().split_once('?').unwrap();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// The person agreed, and their browser comes back.
async fn back(browser: &Browser<'_>, query: &str) -> Answer {
    browser.get(&format!("{CALLBACK}?{query}")).await
}

/// They mean it.
pub(crate) async fn agree(browser: &Browser<'_>, query: &str) -> Answer {
    browser.post(CALLBACK, &[("answer", query)]).await
}

pub(crate) fn query(elsewhere: &Elsewhere, asked: &BTreeMap<String, String>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("state", &asked["state"]).append_pair("code", "good");
    query.append_pair("iss", &elsewhere.fake().url);
    query.finish()
}

async fn authorized(platform: &Platform, elsewhere: &Elsewhere) {
    let asked = begin(platform).await;
    let answer = agree(&Browser::new(platform), &query(elsewhere, &asked)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", text(&answer));
}

#[tokio::test]
async fn a_person_authorizes_and_the_host_gets_tokens() {
    let (platform, elsewhere, id) = deployed(Reach::Everywhere).await;
    let nothing = asked(&platform, &id, "refused", None).await;
    let words = "nobody has authorized Berth there: run `berth authorize notes`";
    assert_eq!(nothing, json!({ "kind": "none", "why": words }));
    let stands = platform.get(PATH).await.json();
    assert_eq!((&stands["state"], &stands["message"]), (&json!("needed"), &json!(words)));

    let asked_for = begin(&platform).await;
    let url = elsewhere.fake().url.clone();
    let redirect = format!("http://{}/oauth/upstream/callback", platform.address);
    assert_eq!((&asked_for["resource"], &asked_for["redirect_uri"]), (&format!("{url}/mcp"), &redirect));
    let query = query(&elsewhere, &asked_for);
    let browser = Browser::new(&platform);
    let page = back(&browser, &query).await;
    assert_eq!(page.status, StatusCode::OK);
    let shown = text(&page);
    for words in ["<b>notes</b>", "<b>default</b>", &url, "method=\"post\""] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(page.headers["cache-control"], "no-store");
    // Only a page of ours says that they mean it.
    let form = [("answer", query.as_str())];
    let foreign =
        browser.send(Method::POST, CALLBACK, &[("origin", "https://evil.example")], Some(&form)).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert_eq!(elsewhere.fake().given, 0, "looking changes nothing");
    let page = agree(&browser, &query).await;
    assert_eq!(page.status, StatusCode::OK, "{}", text(&page));
    let form = elsewhere.fake().forms[0].clone();
    assert_eq!(
        (&form["grant_type"], &form["resource"]),
        (&"authorization_code".to_owned(), &format!("{url}/mcp"))
    );

    let token = asked(&platform, &id, "refused", None).await;
    assert_eq!(
        (&token["kind"], &token["token"], &token["version"]),
        (&json!("token"), &json!("canary-access-1"), &json!(1))
    );
    assert!((3590..=3600).contains(&token["expires_in"].as_u64().unwrap()), "{token}");
    let stands = platform.get(PATH).await.json();
    assert_eq!(
        (&stands["state"], &stands["issuer"], &stands["is_renewable"]),
        (&json!("authorized"), &json!(url), &json!(true))
    );

    // It is renewed before it ends, and once, however many ask.
    let (one, two) =
        tokio::join!(asked(&platform, &id, "expiring", Some(1)), asked(&platform, &id, "expiring", Some(1)));
    for token in [one, two] {
        assert_eq!((&token["token"], &token["version"]), (&json!("canary-access-2"), &json!(2)));
    }
    assert_eq!(elsewhere.fake().forms.len(), 2);
    // Whoever comes late gets the same.
    assert_eq!(asked(&platform, &id, "refused", Some(1)).await["version"], 2);
    assert_eq!(elsewhere.fake().registrations, 1);

    // All of it is there after a restart, and none of it in clear.
    let platform = platform.again(|config| config.outside = Reach::Everywhere).await;
    assert_eq!(asked(&platform, &id, "refused", None).await["token"], "canary-access-2");
    for entry in std::fs::read_dir(platform.data()).unwrap().flatten().filter(|entry| entry.path().is_file())
    {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", entry.path().display());
    }
    let lines = audit_lines(&platform.store, account(&platform).await, 10).await.unwrap();
    let actions: Vec<_> = lines.iter().map(|line| line.action.as_str()).collect();
    assert!(
        actions.starts_with(&["instance.authorize", "instance.authorize_begin", "instance.deploy"]),
        "{actions:?}"
    );
    assert!(!format!("{lines:?}").contains("canary"));
}

async fn account(platform: &Platform) -> domain::ids::AccountId {
    store::accounts::account_by_name(&platform.store, &"default".parse().unwrap()).await.unwrap().unwrap().id
}

#[tokio::test]
async fn an_answer_is_taken_once_and_from_whom_was_asked() {
    let (platform, elsewhere, id) = deployed(Reach::Everywhere).await;
    let browser = Browser::new(&platform);
    let check = async |query: &str, status: u16, words: &str| {
        let answer = agree(&browser, query).await;
        assert_eq!(answer.status.as_u16(), status, "{}", text(&answer));
        assert!(text(&answer).contains(words), "{words}: {}", text(&answer));
    };
    let good = query(&elsewhere, &begin(&platform).await);
    check(&good, 200, "notes").await;
    check(&good, 410, "used already").await;
    assert_eq!(back(&browser, &good).await.status, StatusCode::GONE);
    check("state=guessed&code=good", 410, "Nobody is on the way").await;
    check("code=good", 400, "where authorization servers").await;
    check("", 400, "where authorization servers").await;
    // Another server's answer is taken too, and leads to nothing.
    let asked_for = begin(&platform).await;
    let forged = format!("state={}&code=good&iss=http%3A%2F%2Fevil.example", asked_for["state"]);
    check(&forged, 502, "evil.example").await;
    check(&query(&elsewhere, &asked_for), 410, "used already").await;
    // So does a refusal, of which the page tells without a question.
    let asked_for = begin(&platform).await;
    let issuer = elsewhere.fake().url.clone();
    let refused = form_urlencoded::Serializer::new(String::new())
        .append_pair("state", &asked_for["state"])
        .append_pair("error", "access_denied")
        .append_pair("error_description", "<script>")
        .append_pair("iss", &issuer)
        .finish();
    let page = back(&browser, &refused).await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert!(text(&page).contains("script") && !text(&page).contains("<script>"), "{}", text(&page));
    assert_eq!(elsewhere.fake().forms.len(), 1, "one code was changed");
    assert_eq!(asked(&platform, &id, "refused", None).await["version"], 1);

    // What is given up leaves nobody on the way, and versions go on.
    let asked_for = begin(&platform).await;
    let gone = platform.send(Some(&platform.owner), Method::DELETE, PATH, None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    check(&query(&elsewhere, &asked_for), 410, "used already").await;
    assert_eq!(asked(&platform, &id, "refused", Some(1)).await["kind"], "none");
    authorized(&platform, &elsewhere).await;
    assert_eq!(asked(&platform, &id, "refused", Some(1)).await["version"], 3);
}

#[tokio::test]
async fn what_no_renewal_helps_takes_a_person() {
    let (platform, elsewhere, id) = deployed(Reach::Everywhere).await;
    authorized(&platform, &elsewhere).await;
    let why = async |reason: &str, refused: u64| {
        let answer = asked(&platform, &id, reason, Some(refused)).await;
        answer["why"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    // One that is refused is replaced; when that one is refused at once, another would be as well.
    assert_eq!(asked(&platform, &id, "refused", Some(1)).await["version"], 2);
    assert!(why("refused", 2).await.contains("that was just given"));
    authorized(&platform, &elsewhere).await;
    // Rights that nobody asked for yet: the next person is asked for them, and for those before.
    let wanted = json!({
        "reason": "scope", "refused": 3, "challenge": ["Bearer error=\"insufficient_scope\", scope=\"write\""]
    });
    assert!(
        ask(&platform, &id, wanted).await.json()["why"].as_str().unwrap().contains("berth authorize notes")
    );
    assert_eq!(platform.get(PATH).await.json()["state"], "needed");
    assert_eq!(begin(&platform).await["scope"], "write");
    authorized(&platform, &elsewhere).await;
    assert_eq!(asked(&platform, &id, "scope", Some(3)).await["version"], 4);
    // The authorization server is away: what is there is good until it ends.
    elsewhere.fake().refuses = Some((503, ""));
    assert_eq!(asked(&platform, &id, "expiring", Some(4)).await["version"], 4);
    assert_eq!(platform.get(PATH).await.json()["state"], "authorized");
    // It says that it is over: nobody asks it again.
    elsewhere.fake().refuses = Some((400, "invalid_grant"));
    assert!(why("expiring", 4).await.contains("invalid_grant"));
    let forms = elsewhere.fake().forms.len();
    assert!(why("refused", 4).await.contains("invalid_grant"));
    assert_eq!(elsewhere.fake().forms.len(), forms);
    assert_eq!(platform.get(PATH).await.json()["state"], "needed");
    elsewhere.fake().refuses = None;
    authorized(&platform, &elsewhere).await;
    assert_eq!(asked(&platform, &id, "refused", Some(4)).await["version"], 5);
}

#[tokio::test]
async fn it_is_nobody_elses() {
    let (platform, elsewhere, id) = deployed(Reach::Everywhere).await;
    authorized(&platform, &elsewhere).await;
    // Another environment of the same account.
    platform.environment("near", "near-token").await;
    let body = Some(json!({ "instance": id, "wanted": { "reason": "refused" } }));
    let path = "/api/v1/dtma/upstream-token";
    let answer = platform.send(Some("near-token"), Method::POST, path, body).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(!text(&answer).contains("canary"));
    // Another account, and people who may less.
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let member = platform.person("default", Role::Member, Life::Good).await;
    for (who, method, status) in [
        (&stranger, Method::GET, 404),
        (&stranger, Method::POST, 404),
        (&stranger, Method::DELETE, 404),
        (&member, Method::GET, 200),
        (&member, Method::POST, 403),
        (&member, Method::DELETE, 403),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        let answer = platform.send(Some(who), method.clone(), PATH, body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {answer:?}");
        assert!(!text(&answer).contains("canary"), "{}", text(&answer));
    }
    assert_eq!(asked(&platform, &id, "refused", None).await["version"], 1);
}

#[tokio::test]
async fn nobody_else_comes_back_for_them() {
    let (platform, elsewhere, id) = deployed(Reach::Everywhere).await;
    platform.set_password(&platform.owner, PASSWORD).await;
    let (theirs, others) = (Browser::new(&platform), Browser::new(&platform));
    theirs.sign_in("admin", PASSWORD).await;
    let other = platform.person("default", Role::Admin, Life::Good).await;
    platform.set_password(&other, PASSWORD).await;
    let who = platform.send(Some(&other), Method::GET, "/api/v1/whoami", None).await.json();
    let name = who["user_name"].as_str().unwrap_or_else(|| panic!("{who}")).to_owned();
    others.sign_in(&name, PASSWORD).await;
    let query_of = async || query(&elsewhere, &begin(&platform).await);
    // Whoever is signed in as somebody else gets nowhere, by looking or by saying so, and spoils nothing.
    let query = query_of().await;
    for answer in [back(&others, &query).await, agree(&others, &query).await] {
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", text(&answer));
        assert!(text(&answer).contains("Admin asked for this"), "{}", text(&answer));
    }
    assert_eq!(elsewhere.fake().given, 0);
    // Whoever asked is known, and asked nothing more.
    let page = back(&theirs, &query).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(text(&page).contains("Berth may use the server of <code>notes</code> now"), "{}", text(&page));
    assert_eq!(asked(&platform, &id, "refused", None).await["version"], 1);

    // And one who is no admin any more when they are back.
    let answer = platform.send(Some(&other), Method::POST, PATH, Some(json!({}))).await.json();
    let (_, way) = answer["url"].as_str().unwrap().split_once('?').unwrap();
    let way: BTreeMap<String, String> = form_urlencoded::parse(way.as_bytes()).into_owned().collect();
    let member = format!("/api/v1/members/{}", name.replace(' ', "%20"));
    let role = Some(json!({ "role": "member" }));
    let changed = platform.send(Some(&platform.owner), Method::PATCH, &member, role).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let page = back(&others, &self::query(&elsewhere, &way)).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", text(&page));
    assert!(text(&page).contains("no admin"), "{}", text(&page));
    assert_eq!(asked(&platform, &id, "refused", None).await["version"], 1);
}

#[tokio::test]
async fn what_a_server_names_is_not_asked_inside() {
    let (platform, elsewhere, _) = deployed(Reach::Internet).await;
    let answer = platform.post(PATH, json!({})).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.error().contains("https:// URL"), "{}", answer.error());
    assert_eq!(elsewhere.fake().registrations, 0);
}

#[tokio::test]
async fn bad_input_names_the_field() {
    let (platform, elsewhere, _) = deployed(Reach::Everywhere).await;
    let check = async |body: Value, expected: &str| {
        let answer = platform.post(PATH, body).await;
        assert!(answer.error().starts_with(expected), "{}", answer.error());
    };
    check(json!({ "clients": 1 }), "422 invalid | clients").await;
    check(json!({ "client": { "issuer": "x", "client_id": "" } }), "422 invalid | client.client_id").await;
    check(json!({ "client": { "issuer": "x", "client_id": "a" } }), "422 invalid | client.issuer").await;
    let secret = json!({ "client": { "issuer": "https://x", "client_id": "a", "client_secret": "s\n" } });
    check(secret, "422 invalid | client.client_secret").await;
    let answer = platform.post("/api/v1/instances/welcome/authorization", json!({})).await;
    assert!(answer.error().starts_with("422 invalid | name"), "{}", answer.error());
    let body =
        json!({ "server": elsewhere.server(), "name": "own", "secrets": { "Authorization": "Bearer x" } });
    platform.post("/api/v1/instances", body).await;
    let answer = platform.post("/api/v1/instances/own/authorization", json!({})).await;
    assert!(answer.error().contains("409 conflict"), "{}", answer.error());
    // A client that was registered by hand is used, and nobody registers.
    let url = elsewhere.fake().url.clone();
    let manual = json!({ "client": { "issuer": url, "client_id": "by-hand", "client_secret": "s" } });
    let started = platform.post(PATH, manual).await.json();
    assert!(started["url"].as_str().unwrap().contains("client_id=by-hand"), "{started}");
    assert_eq!(elsewhere.fake().registrations, 0);
}

#[tokio::test]
async fn the_document_is_where_others_can_read_it() {
    let plain = Platform::start(nobody()).await;
    let answer = plain.send(None, Method::GET, "/oauth/client.json", None).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let public = control::Public::new("https://berth.example", None).unwrap();
    let platform = Platform::start_with(nobody(), |config| config.public = public).await;
    let document = platform.send(None, Method::GET, "/oauth/client.json", None).await.json();
    let expected = json!({
        "client_id": "https://berth.example/oauth/client.json",
        "client_name": "Berth",
        "client_uri": "https://berth.example",
        "redirect_uris": ["https://berth.example/oauth/upstream/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "web",
    });
    assert_eq!(document, expected);
}
