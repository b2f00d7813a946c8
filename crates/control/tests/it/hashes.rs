//! What opens something is kept as its SHA-256 and looked up by it, so no comparison tells how much of a guess is right.

use std::collections::BTreeSet;
use std::path::Path;

use fetch::Reach;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::browser::{Browser, location};
use crate::platform::{Platform, sha256};
use crate::upstreams;

const PASSWORD: &str = "correct horse battery staple";
const CALLBACK: &str = "http://127.0.0.1:33418/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const NONCE: &str = "0123456789abcdef";
/// Is a hash of another kind, which is made anew for each comparison (argon2id).
const SLOW: &str = "users.password_hash";
/// Hashes of what servers say of their tools: these open nothing.
const OF_DEFINITIONS: [&str; 2] = ["toolbelt_features.approved_hash", "toolbelt_features.seen_hash"];

/// Every column of the tables whose name says that it holds a hash.
fn columns() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/migrations");
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut table = "";
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with("--")) {
            let words: Vec<&str> = line.split([' ', '(', ',', ';']).filter(|word| !word.is_empty()).collect();
            if let ["CREATE" | "ALTER", "TABLE", name, ..] = words[..] {
                table = name;
            }
            let is_index = words.contains(&"CONSTRAINT") || words.contains(&"INDEX");
            let named = words.iter().filter(|word| !is_index && word.ends_with("_hash"));
            found.extend(named.map(|word| format!("{table}.{word}")));
        }
    }
    found
}

fn text(given: &Value, name: &str) -> String {
    given[name].as_str().unwrap_or_else(|| panic!("no {name}: {given}")).to_owned()
}

fn last_part(url: &str) -> String {
    url.rsplit('/').next().unwrap().to_owned()
}

/// Client's secret, code, refresh token and device's code.
async fn of_oauth(platform: &Platform, browser: &Browser<'_>) -> [String; 4] {
    let body = json!({
        "client_name": "Robot", "redirect_uris": ["http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    });
    let made = platform.send(None, Method::POST, "/oauth/register", Some(body)).await.json();
    let (client, secret) = (text(&made, "client_id"), text(&made, "client_secret"));
    let resource = format!("{}/mcp/default/welcome", platform.url());
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([
        ("response_type", "code"),
        ("client_id", &client),
        ("redirect_uri", CALLBACK),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", &resource),
    ]);
    let query = query.finish();
    let fields = [("request", query.as_str()), ("decision", "allow")];
    let answer = browser.submit(&format!("/oauth/authorize?{query}"), "/oauth/authorize", &fields).await;
    let place = location(&answer);
    let code = place.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
    let of_client = [("client_id", client.as_str()), ("client_secret", secret.as_str())];
    let fields = [
        ("grant_type", "authorization_code"),
        ("redirect_uri", CALLBACK),
        ("code", &code),
        ("code_verifier", VERIFIER),
    ];
    let given = platform.post_form("/oauth/token", &[], &[&fields[..], &of_client].concat()).await;
    assert_eq!(given.status, StatusCode::OK, "{given:?}");
    let refresh = text(&given.json(), "refresh_token");
    let fields = [&of_client[..], &[("resource", resource.as_str())]].concat();
    let device = platform.post_form("/oauth/device", &[], &fields).await.json();
    [secret, code, refresh, text(&device, "device_code")]
}

#[tokio::test]
async fn what_opens_something_is_looked_up_by_its_hash() {
    let (platform, _elsewhere, _) = upstreams::deployed(Reach::Everywhere).await;
    platform.set_password(&platform.owner, PASSWORD).await;
    let link = control::recover(&platform.config(), "berth recover", None, false).await.unwrap();
    let browser = Browser::new(&platform);
    browser.sign_in("admin", PASSWORD).await;
    let cookie = browser.cookie("berth_session").expect("a session");
    let added = platform.post("/api/v1/environments", json!({ "name": "far", "kind": "host" })).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    let enrolment =
        text(&platform.post("/api/v1/environments/far/enrolment", json!({})).await.json(), "token");
    let body = json!({ "token": enrolment, "nonce": NONCE, "hostname": "box", "dtma_version": "9.9.9" });
    let enrolled = platform.send(None, Method::POST, api::enrolments::ENROL_PATH, Some(body)).await;
    assert_eq!(enrolled.status, StatusCode::OK, "{enrolled:?}");
    let invited = platform.post("/api/v1/invitations", json!({ "role": "member" })).await.json();
    let upstream = upstreams::begin(&platform).await;
    let [secret, code, refresh, device] = of_oauth(&platform, &browser).await;

    let agent = platform.post("/api/v1/agents", json!({ "name": "helper" })).await;
    assert_eq!(agent.status, StatusCode::CREATED, "{agent:?}");
    let of_agent = platform.post("/api/v1/agents/helper/tokens", json!({ "name": "x" })).await.json();

    let kept = [
        ("account_tool_environments.dtma_token_hash", text(&enrolled.json(), "token")),
        ("agent_tokens.token_hash", text(&of_agent, "secret")),
        ("api_tokens.token_hash", platform.owner.clone()),
        ("enrolments.nonce_hash", NONCE.to_owned()),
        ("enrolments.token_hash", enrolment),
        ("invitations.token_hash", last_part(&text(&invited, "url"))),
        ("oauth_clients.secret_hash", secret),
        ("oauth_codes.code_hash", code),
        ("oauth_devices.device_hash", device),
        ("oauth_refresh_tokens.token_hash", refresh),
        ("sign_in_links.token_hash", last_part(link.link_path.expose())),
        ("upstream_authorizations.state_hash", upstream["state"].clone()),
        ("user_sessions.token_hash", cookie),
    ];
    let mut known: BTreeSet<String> = kept.iter().map(|(column, _)| (*column).to_owned()).collect();
    known.insert(SLOW.to_owned());
    known.extend(OF_DEFINITIONS.map(str::to_owned));
    assert_eq!(columns(), known, "a new kind of credential needs its row here");

    // With what was not yet written into the file itself.
    let mut database = std::fs::read(platform.data().join("berth.db")).unwrap();
    database.extend(std::fs::read(platform.data().join("berth.db-wal")).unwrap_or_default());
    let has = |text: &str| database.windows(text.len()).any(|part| part == text.as_bytes());
    for (column, shown) in &kept {
        assert!(has(&sha256(shown)), "{column} is not the SHA-256 of what is shown");
        assert!(!has(shown), "{column}: what is shown is in the database");
    }
    assert!(has("$argon2id$") && !has(PASSWORD), "{SLOW}");
    // The hash itself, which whoever reads the database has, opens nothing.
    let hash = sha256(&platform.owner);
    let answer = platform.send(Some(&hash), Method::GET, "/api/v1/whoami", None).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
