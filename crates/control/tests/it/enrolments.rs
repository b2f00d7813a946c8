//! How a host becomes an environment, once, and how it is cut off again.

use api::users::Role;
use domain::ids::EnvironmentId;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::dtma::heartbeat;
use crate::platform::{Answer, Life, PATIENCE, Platform, nobody};

const PATH: &str = "/api/v1/environments";
const NONCE: &str = "0123456789abcdef";
const OTHER: &str = "fedcba9876543210";

async fn add(platform: &Platform, body: Value) -> String {
    let added = platform.post(PATH, body).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    added.json()["id"].as_str().unwrap().to_owned()
}

/// A one-time token of an environment.
async fn issue(platform: &Platform, name: &str) -> String {
    let made = platform.post(&format!("{PATH}/{name}/enrolment"), json!({})).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    assert_eq!(made.headers["cache-control"], "no-store");
    let made = made.json();
    let token = made["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("berth_enrol_") && token.len() == 12 + 43, "{token}");
    assert!(made["command"].as_str().unwrap().contains(&token), "{made}");
    token
}

async fn redeem(platform: &Platform, token: &str, nonce: &str) -> Answer {
    let body =
        json!({ "token": token, "nonce": nonce, "hostname": "box\u{1b}[31m", "dtma_version": "9.9.9" });
    platform.send(None, Method::POST, api::enrolments::ENROL_PATH, Some(body)).await
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field} in {answer}")).to_owned()
}

async fn beat(platform: &Platform, token: &str, environment: &str, sequence: u64) -> StatusCode {
    let body = heartbeat(environment, sequence, &json!([]));
    platform.send(Some(token), Method::POST, api::dtma::HEARTBEAT_PATH, Some(body)).await.status
}

/// Opens a tunnel by hand, as far as the 101.
async fn tunnel(platform: &Platform, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(platform.address).await.unwrap();
    let (path, protocol) = (api::dtma::TUNNEL_PATH, api::dtma::TUNNEL_PROTOCOL);
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    stream
}

async fn ends(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    // A reset is an end too.
    assert!(ended.is_ok(), "the tunnel is still open");
}

async fn audited(platform: &Platform) -> Vec<(String, String, Value)> {
    let name = "default".parse().unwrap();
    let account = store::accounts::account_by_name(&platform.store, &name).await.unwrap().unwrap();
    let lines = crate::platform::audit_lines(&platform.store, account.id, 100).await.unwrap();
    lines.into_iter().map(|line| (line.action, line.actor, line.detail)).collect()
}

#[tokio::test]
async fn a_one_time_token_makes_a_host_the_environment_and_the_one_before_is_cut_off() {
    let platform = Platform::start(nobody()).await;
    let id = add(&platform, json!({ "name": "far", "kind": "host" })).await;
    let by_hand = text(&platform.post(&format!("{PATH}/far/token"), json!({})).await.json(), "token");
    let first = issue(&platform, "far").await;
    assert_eq!(beat(&platform, &by_hand, &id, 7).await, StatusCode::NO_CONTENT, "until it is used");
    let old_tunnel = tunnel(&platform, &by_hand).await;

    let enrolled = redeem(&platform, &first, NONCE).await;
    assert_eq!(
        (enrolled.status, &enrolled.headers["cache-control"]),
        (StatusCode::OK, &"no-store".parse().unwrap())
    );
    let enrolled = enrolled.json();
    assert_eq!(
        (text(&enrolled, "environment"), text(&enrolled, "name"), text(&enrolled, "way")),
        (id.clone(), "far".to_owned(), "tunnel".to_owned())
    );
    assert_eq!((&enrolled["listen"], &enrolled["heartbeat_seconds"]), (&Value::Null, &json!(15)));
    let token = text(&enrolled, "token");
    ends(old_tunnel).await;
    let seen = platform.get(&format!("{PATH}/far")).await.json();
    assert_eq!((&seen["status"], &seen["last_heartbeat_at"]), (&json!("awaiting_heartbeat"), &Value::Null));
    assert!(text(&seen, "message").contains("`berth env enrol far`"), "{seen}");
    assert_eq!(beat(&platform, &by_hand, &id, 8).await, StatusCode::UNAUTHORIZED);
    // The new host counts from one, by a clock of its own.
    assert_eq!(beat(&platform, &token, &id, 1).await, StatusCode::NO_CONTENT);
    assert_eq!(platform.get(&format!("{PATH}/far")).await.json()["status"], "active");

    // Its answer may have been lost; nobody else's was.
    let again = redeem(&platform, &first, NONCE).await;
    assert_eq!((again.status, text(&again.json(), "token")), (StatusCode::OK, token.clone()));
    let error = redeem(&platform, &first, OTHER).await.error();
    assert!(
        error
            .starts_with("410 gone | token | this enrolment token was used already | `berth env enrol NAME`"),
        "{error}"
    );

    // Another one-time token: the one before is nobody's, the host goes on until the new one is used.
    let (second, third) = (issue(&platform, "far").await, issue(&platform, "far").await);
    for stale in [&first, &second] {
        assert!(redeem(&platform, stale, NONCE).await.error().starts_with("401 unauthorized | token"));
    }
    assert_eq!(beat(&platform, &token, &id, 2).await, StatusCode::NO_CONTENT);
    assert_eq!(redeem(&platform, &third, OTHER).await.status, StatusCode::OK);
    assert_eq!(beat(&platform, &token, &id, 3).await, StatusCode::UNAUTHORIZED);

    let lines = audited(&platform).await;
    let of = |action: &str| lines.iter().filter(|(found, ..)| found == action).collect::<Vec<_>>();
    assert_eq!((of("environment.enrolment").len(), of("environment.enrol").len()), (3, 2));
    let (_, actor, detail) = of("environment.enrol")[0];
    assert_eq!(*actor, format!("environment:{id}"));
    assert_eq!(*detail, json!({ "hostname": "box[31m", "dtma_version": "9.9.9" }));
    assert!(!format!("{lines:?}").contains("berth_"), "no token is in the audit");
    platform.stop().await;
}

#[tokio::test]
async fn a_token_that_came_too_late_is_told_from_one_that_never_was() {
    let platform = Platform::start(nobody()).await;
    let id: EnvironmentId = add(&platform, json!({ "name": "far", "kind": "host" })).await.parse().unwrap();
    let token = issue(&platform, "far").await;
    let hash = {
        use sha2::Digest as _;
        sha2::Sha256::digest(token.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat()
    };
    let before = |seconds: i64| {
        let now: domain::time::Timestamp = std::time::SystemTime::now().into();
        domain::time::Timestamp(now.0 - seconds * 1_000_000)
    };
    let mut tx = platform.store.begin().await.unwrap();
    store::enrolments::issue(&mut tx, id, &hash, before(3601), before(1)).await.unwrap();
    tx.commit().await.unwrap();
    let error = redeem(&platform, &token, NONCE).await.error();
    assert!(
        error.starts_with("410 gone | token | this enrolment token came too late | `berth env enrol"),
        "{error}"
    );
    assert!(!error.contains("far"), "it is not said whose it was: {error}");
    platform.stop().await;
}

#[tokio::test]
async fn who_was_revoked_opens_nothing_until_a_host_is_enrolled_again() {
    let platform = Platform::start(nobody()).await;
    let id = add(&platform, json!({ "name": "far", "kind": "host" })).await;
    let token = text(&redeem(&platform, &issue(&platform, "far").await, NONCE).await.json(), "token");
    assert_eq!(beat(&platform, &token, &id, 1).await, StatusCode::NO_CONTENT);
    let open = tunnel(&platform, &token).await;
    let pending = issue(&platform, "far").await;

    let revoked = platform.post(&format!("{PATH}/far/revoke"), json!({})).await.json();
    assert!(text(&revoked, "message").contains("was revoked: `berth env enrol far`"), "{revoked}");
    ends(open).await;
    assert_eq!(beat(&platform, &token, &id, 2).await, StatusCode::UNAUTHORIZED);
    assert_eq!(redeem(&platform, &pending, NONCE).await.status, StatusCode::UNAUTHORIZED);
    let error = platform.post(&format!("{PATH}/far/token"), json!({})).await.error();
    assert!(error.starts_with("409 conflict"), "{error}");

    let again = redeem(&platform, &issue(&platform, "far").await, NONCE).await.json();
    assert_eq!(beat(&platform, &text(&again, "token"), &id, 1).await, StatusCode::NO_CONTENT);
    let seen = platform.get(&format!("{PATH}/far")).await.json();
    assert_eq!(seen["status"], "active");
    platform.stop().await;
}

#[tokio::test]
async fn what_cannot_be_enrolled_is_refused() {
    let platform = Platform::start(nobody()).await;
    let direct =
        json!({ "name": "near", "kind": "host", "address": "10.0.0.5:30000", "insecure_http": true });
    add(&platform, direct).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    for act in ["enrolment", "revoke"] {
        let error = platform.post(&format!("{PATH}/local/{act}"), json!({})).await.error();
        assert!(
            error.starts_with("409 conflict | - | `local` is the control plane's own machine"),
            "{error}"
        );
        let error = platform.post(&format!("{PATH}/nea/{act}"), json!({})).await.error();
        assert!(error.starts_with("404 not_found") && error.contains("did you mean `near`?"), "{error}");
        let path = format!("{PATH}/near/{act}");
        let theirs = platform.send(Some(&stranger), Method::POST, &path, None).await;
        assert_eq!(theirs.status, StatusCode::NOT_FOUND, "another account's");
    }
    let token = issue(&platform, "near").await;
    for (body, words) in [
        (
            json!({ "token": token, "nonce": "short", "hostname": "h", "dtma_version": "1" }),
            "422 invalid | nonce",
        ),
        (
            json!({ "token": token, "nonce": "x".repeat(201), "hostname": "h", "dtma_version": "1" }),
            "422 invalid | nonce",
        ),
        (json!({ "nonce": NONCE, "hostname": "h", "dtma_version": "1" }), "422 invalid | token"),
        (json!({ "token": token, "nonce": NONCE, "dtma_version": "1" }), "422 invalid | hostname"),
        (
            json!({ "token": "", "nonce": NONCE, "hostname": "h", "dtma_version": "1" }),
            "401 unauthorized | token",
        ),
        (
            json!({ "token": "a\u{0}b", "nonce": NONCE, "hostname": "h", "dtma_version": "1" }),
            "401 unauthorized | token",
        ),
        (
            json!({ "token": platform.local.dtma_token.expose(), "nonce": NONCE, "hostname": "h", "dtma_version": "1" }),
            "401 unauthorized | token",
        ),
    ] {
        let answer = platform.send(None, Method::POST, api::enrolments::ENROL_PATH, Some(body.clone())).await;
        assert!(answer.error().starts_with(words), "{body}: {}", answer.error());
    }
    // None of these used it up, and the answer says how the host is reached.
    let enrolled = redeem(&platform, &token, NONCE).await.json();
    assert_eq!(
        (text(&enrolled, "way"), text(&enrolled, "listen")),
        ("direct".to_owned(), "10.0.0.5:30000".to_owned())
    );
    platform.stop().await;
}

#[tokio::test]
async fn the_script_and_the_program_are_for_everybody() {
    use sha2::Digest as _;
    let platform = Platform::start(nobody()).await;
    add(&platform, json!({ "name": "far", "kind": "host" })).await;
    let get = async |path: &str| platform.send(None, Method::GET, path, None).await;
    let script = get("/enrol/install.sh").await;
    assert_eq!(script.status, StatusCode::OK);
    assert!(script.body.starts_with(b"#!/bin/sh\n"));

    let path = format!("/enrol/berth-linux-{}", std::env::consts::ARCH);
    let program = get(&path).await;
    let digest: Vec<String> =
        sha2::Sha256::digest(&program.body).iter().map(|b| format!("{b:02x}")).collect();
    let digest = digest.concat();
    assert_eq!(program.headers["etag"], format!("\"{digest}\""));
    assert_eq!(program.headers["content-length"], program.body.len().to_string());
    assert_eq!(program.body, std::fs::read("/proc/self/exe").unwrap(), "it is what runs");
    let made = platform.post(&format!("{PATH}/far/enrolment"), json!({})).await.json();
    assert!(text(&made, "command").contains(&format!(" --sha256 {digest} ")), "{made}");

    let mut request = http::Request::get(&path).header("if-none-match", format!("\"{digest}\""));
    request = request.header("host", "x");
    let request = request.body(http_body_util::Full::new(bytes::Bytes::new())).unwrap();
    let known =
        hop::pool::Pool::new().send(&hop::address::Address::Tcp(platform.address), request).await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);

    for (path, words) in [
        ("/enrol/berth-linux-sparc", "404 not_found | - | this control plane runs on"),
        ("/enrol/berth", "404 not_found | - | there is nothing at this path | the program for Linux on"),
    ] {
        let error = get(path).await.error();
        assert!(error.starts_with(words), "{error}");
    }
    platform.stop().await;
}

#[tokio::test]
async fn a_host_that_is_dialled_over_tls_shows_its_key() {
    let platform = Platform::start(nobody()).await;
    add(&platform, json!({ "name": "near", "kind": "host", "address": "10.0.0.5:30000" })).await;
    let token = issue(&platform, "near").await;
    let show = async |pin: Value, token: &str| {
        let body = json!({
            "token": token, "nonce": NONCE, "hostname": "h", "dtma_version": "1", "tls_pin": pin,
        });
        platform.send(None, Method::POST, api::enrolments::ENROL_PATH, Some(body)).await
    };
    for wrong in [Value::Null, json!(""), json!("sha256//short")] {
        let error = show(wrong.clone(), &token).await.error();
        assert!(error.starts_with("422 invalid | tls_pin"), "{wrong}: {error}");
    }
    let reach = async || {
        let account = store::accounts::account_by_name(&platform.store, &"default".parse().unwrap()).await;
        let (account, name) = (account.unwrap().unwrap().id, "near".parse().unwrap());
        store::environments::by_name(&platform.store, account, &name).await.unwrap().unwrap().reach
    };
    // Once more with another key: the newest counts.
    for key in ["A", "B"] {
        let pin = format!("sha256//{}A=", key.repeat(42));
        let enrolled = show(json!(pin), &issue(&platform, "near").await).await.json();
        assert_eq!((text(&enrolled, "way"), &enrolled["tls"]), ("direct".to_owned(), &json!(true)));
        assert_eq!(reach().await, json!({ "by": "direct", "dtma": "10.0.0.5:30000", "pin": pin }));
    }
    platform.stop().await;
}
