//! Environments that are other machines: what can be added and removed, and how one that cannot be dialled is told.

use std::sync::Arc;

use api::users::Role;
use domain::status::InstanceStatus;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::dtma::{FakeDtma, heartbeat};
use crate::platform::{Life, Platform, nobody};

const PATH: &str = "/api/v1/environments";

fn host(name: &str, address: &str) -> Value {
    json!({ "name": name, "kind": "host", "address": address, "insecure_http": true })
}

const OTHER: &str = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// One that is to be spoken to both with a key and in clear.
fn pinned(pin: &str) -> Value {
    let mut host = host("x", "10.0.0.6:30000");
    host["tls_pin"] = json!(pin);
    host
}

/// Adds a host at `address`; its id and its token.
async fn add(platform: &Platform, name: &str, address: &str) -> (String, String) {
    let added = platform.post(PATH, host(name, address)).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    let id = added.json()["id"].as_str().unwrap().to_owned();
    let token = platform.post(&format!("{PATH}/{name}/token"), json!({})).await.json();
    (id, token["token"].as_str().unwrap().to_owned())
}

pub(crate) async fn beat(platform: &Platform, token: &str, body: Value) -> crate::platform::Answer {
    platform.send(Some(token), Method::POST, api::dtma::HEARTBEAT_PATH, Some(body)).await
}

/// Asks for an environment until it is as it should be.
pub(crate) async fn environment_until(platform: &Platform, name: &str, is: impl Fn(&Value) -> bool) -> Value {
    let deadline = std::time::Instant::now() + crate::platform::PATIENCE;
    loop {
        let environment = platform.get(&format!("{PATH}/{name}")).await.json();
        if is(&environment) {
            return environment;
        }
        assert!(std::time::Instant::now() < deadline, "waited in vain, it is {environment:#}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_an_environment_is_refused() {
    let platform = Platform::start(nobody()).await;
    add(&platform, "far", "10.0.0.5:30000").await;
    let mut other = host("x", "10.0.0.6:30000");
    other["kind"] = json!("moon");
    let mut of_a_droplet = host("x", "10.0.0.6:30000");
    of_a_droplet["size"] = json!("s-1vcpu-1gb");
    let mut unknown = host("x", "10.0.0.6:30000");
    unknown["port"] = json!(1);
    for (body, words) in [
        (host("far", "10.0.0.6:30000"), "409 conflict | name | an environment `far` exists already"),
        (host("local", "10.0.0.6:30000"), "409 conflict | name"),
        (
            host("near", "10.0.0.5:30000"),
            "409 conflict | address | 10.0.0.5:30000 is the environment `far` already",
        ),
        (host("My Host", "10.0.0.6:30000"), "422 invalid | name"),
        (host("", "10.0.0.6:30000"), "422 invalid | name"),
        (host("x", "10.0.0.6"), "422 invalid | address | `10.0.0.6` is no IP address with a port"),
        (host("x", "example.com:30000"), "422 invalid | address"),
        (host("x", "http://10.0.0.6:30000"), "422 invalid | address"),
        (host("x", "0.0.0.0:30000"), "422 invalid | address"),
        (host("x", "10.0.0.6:0"), "422 invalid | address"),
        (host("x", "169.254.169.254:80"), "422 invalid | address"),
        (pinned("x"), "422 invalid | tls_pin | a pin is `sha256//`"),
        (pinned(OTHER), "422 invalid | tls_pin | a pin is for a host that is dialled, over TLS"),
        (of_a_droplet, "422 invalid | size | this is said of droplets"),
        (other, "422 invalid | kind"),
        (unknown, "422 invalid | port"),
    ] {
        let answer = platform.post(PATH, body.clone()).await;
        assert!(answer.error().starts_with(words), "{body}: {}", answer.error());
    }
    let list: Vec<Value> = platform.get(PATH).await.json().as_array().unwrap().clone();
    let names: Vec<&str> = list.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["far", "local"], "nothing is left of what was refused");
    assert!(!json!(list).to_string().contains("berth_"), "no token is shown");

    // Another account may have the same name and address, and sees nothing of ours.
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let theirs =
        platform.send(Some(&stranger), Method::POST, PATH, Some(host("far", "10.0.0.5:30000"))).await;
    assert_eq!(theirs.status, StatusCode::CREATED);
    let seen = platform.send(Some(&stranger), Method::GET, PATH, None).await.json();
    assert_eq!(seen.as_array().unwrap().len(), 1);
    let of_file = json!({ "server": "file:/bin/true", "environment": "far" });
    let answer = platform.post("/api/v1/instances", of_file).await;
    assert!(answer.error().starts_with("422 invalid | server"), "{}", answer.error());
    platform.stop().await;
}

#[tokio::test]
async fn one_that_has_instances_stays() {
    let platform = Platform::start(nobody()).await;
    let (_, token) = add(&platform, "far", "10.0.0.5:30000").await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        let body = json!({ "server": "welcome", "name": name, "environment": "far" });
        assert_eq!(platform.post("/api/v1/instances", body).await.status, StatusCode::CREATED);
    }
    let remove = async |name: &str| {
        platform.send(Some(&platform.owner), Method::DELETE, &format!("{PATH}/{name}"), None).await
    };
    let error = remove("far").await.error();
    assert!(
        error.starts_with("409 conflict | - | `far` has 6 instances: `a`, `b`, `c`, `d`, `e`, 1 more |"),
        "{error}"
    );
    let error = remove("local").await.error();
    assert!(error.starts_with("409 conflict | - | `local` is the control plane's own machine"), "{error}");
    assert!(remove("fat").await.error().contains("did you mean `far`"));

    let (spare, spare_token) = add(&platform, "spare", "10.0.0.6:30000").await;
    assert_eq!(remove("spare").await.status, StatusCode::NO_CONTENT);
    let gone = beat(&platform, &spare_token, heartbeat(&spare, 1, &json!([]))).await;
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED, "its token opens nothing any more");
    let kept = beat(&platform, &token, heartbeat(&spare, 1, &json!([]))).await;
    assert_eq!(kept.status, StatusCode::FORBIDDEN, "another environment's token speaks for its own alone");
    // Name and address are free again.
    add(&platform, "spare", "10.0.0.6:30000").await;
    platform.stop().await;
}

#[tokio::test]
async fn a_host_writes_its_own_rows_alone() {
    let platform = Platform::start(nobody()).await;
    let (one, one_token) = add(&platform, "one", "10.0.0.1:30000").await;
    let (two, two_token) = add(&platform, "two", "10.0.0.2:30000").await;
    let body = json!({ "server": "welcome", "name": "on-two", "environment": "two" });
    let instance = platform.post("/api/v1/instances", body).await.json();
    let answer = beat(&platform, &one_token, heartbeat(&two, 1, &json!([]))).await;
    assert!(answer.error().starts_with("403 forbidden | environment"), "{}", answer.error());
    let report = json!([{
        "id": instance["id"], "generation": 1, "status": "running", "restarts": 0, "since": 1,
    }]);
    assert_eq!(beat(&platform, &one_token, heartbeat(&one, 1, &report)).await.status, StatusCode::NO_CONTENT);
    let seen = platform.get("/api/v1/instances/on-two").await.json();
    assert_eq!(seen["status"], "pending_deploy", "another host's report counts for nothing");
    assert_eq!(beat(&platform, &two_token, heartbeat(&two, 1, &report)).await.status, StatusCode::NO_CONTENT);
    let seen = platform.get("/api/v1/instances/on-two").await.json();
    assert_eq!(seen["status"], InstanceStatus::Running.word());
    platform.stop().await;
}

#[tokio::test]
async fn one_that_reports_and_cannot_be_dialled_says_so_until_it_can() {
    let platform = Platform::start_with(nobody(), |config| {
        config.heartbeat = std::time::Duration::from_millis(300);
    })
    .await;
    let address = nobody();
    let (id, token) = add(&platform, "far", &address.to_string()).await;
    let waiting = environment_until(&platform, "far", |_| true).await;
    assert_eq!(
        (&waiting["status"], &waiting["address"]),
        (&json!("awaiting_heartbeat"), &json!(address.to_string()))
    );
    assert!(waiting["message"].as_str().unwrap().contains("start `berth dtma` there"), "{waiting}");

    let message = |words: &'static str| {
        move |environment: &Value| environment["message"].as_str().is_some_and(|text| text.contains(words))
    };
    let mut sequence = 0;
    let mut report = async || {
        sequence += 1;
        beat(&platform, &token, heartbeat(&id, sequence, &json!([]))).await;
    };
    report().await;
    let heard =
        environment_until(&platform, "far", |environment| environment["status"] == "unresponsive").await;
    assert!(message("no heartbeat since")(&heard), "{heard}");

    // The heartbeats go on while the test looks, as a host's do.
    let dtma = Arc::new(FakeDtma::default());
    *dtma.environment.lock().unwrap() = id.clone();
    let look = async {
        environment_until(&platform, "far", message("its DTMA does not answer at")).await;
        let (_, mut up) = dtma.listen(Some(address)).await;
        environment_until(&platform, "far", |environment| {
            environment["status"] == "active" && environment["message"].is_null()
        })
        .await;
        up.end().await;
    };
    let go_on = async {
        loop {
            report().await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::select! { () = look => {}, () = go_on => {} }
    platform.stop().await;
}
