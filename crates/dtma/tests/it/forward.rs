//! Calls through the DTMA: which headers cross, streaming, and every way in which there is no answer.

use std::time::Duration;

use domain::ids::InstanceId;
use domain::shim::{KEY_HEADER, PRINCIPAL_HEADER, ServerState};
use domain::spec::InstanceSpec;
use domain::status::InstanceStatus::{ErrorInstall, Running, Starting, Stopped};
use domain::time::Timestamp;
use futures_util::StreamExt as _;
use runtime::error::RuntimeError;

use crate::host::{Host, error, spec, wait_until};

fn call(host: &Host, method: &str, spec: &InstanceSpec, body: &'static str) -> reqwest::RequestBuilder {
    host.request(method, &format!("/v1/instances/{}/mcp", spec.id))
        .header(KEY_HEADER, spec.key.expose())
        .header(PRINCIPAL_HEADER, "user:1")
        .body(body)
}

#[tokio::test]
async fn a_call_reaches_the_shim_without_our_credentials() {
    let host = Host::start().await;
    let spec = host.deploy().await;
    for method in ["POST", "GET", "DELETE"] {
        let response = call(&host, method, &spec, "12345")
            .header("Cookie", "a=b")
            .header("Mcp-Session-Id", "s")
            .header("Connection", "x-of-this-hop")
            .header("X-Of-This-Hop", "1")
            .header("X-Other", "2")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-from-shim"], "yes");
        let told = response.text().await.unwrap();
        assert!(told.starts_with(&format!("{method} /mcp\n")), "{told}");
        for crossed in ["berth-principal: user:1", "mcp-session-id: s", "x-other: 2", "5 bytes"] {
            assert!(told.contains(crossed), "{crossed} is not in {told}");
        }
        for stripped in ["authorization", "cookie", "x-of-this-hop", crate::host::TOKEN] {
            assert!(!told.contains(stripped), "{stripped} is in {told}");
        }
    }
    let without_key = host.request("POST", &format!("/v1/instances/{}/mcp", spec.id)).send().await.unwrap();
    assert_eq!(without_key.status(), 401, "the shim's word, passed on");
}

#[tokio::test]
async fn a_large_message_passes() {
    let host = Host::start().await;
    let spec = host.deploy().await;
    let response = call(&host, "POST", &spec, "").body(vec![b'x'; 5 << 20]).send().await.unwrap();
    assert!(response.text().await.unwrap().ends_with("5242880 bytes"));
}

#[tokio::test]
async fn answers_are_streamed() {
    let host = Host::start().await;
    let spec = host.deploy().await;
    let mut pieces = call(&host, "POST", &spec, "stream").send().await.unwrap().bytes_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "data: 1\n\n", "before the second is made");
    assert_eq!(call(&host, "POST", &spec, "release").send().await.unwrap().status(), 202);
    assert_eq!(pieces.next().await.unwrap().unwrap(), "data: 2\n\n");
    assert!(pieces.next().await.is_none());
}

#[tokio::test]
async fn a_shim_that_dies_in_mid_call_is_a_502_at_once() {
    let host = Host::start().await;
    let spec = host.deploy().await;
    let asked = tokio::time::Instant::now();
    let died = call(&host, "POST", &spec, "die").send().await.unwrap();
    assert!(!died.headers().contains_key("berth-refused"), "it may have been acted upon");
    let (status, body) = error(died).await;
    assert_eq!(status, 502, "{body:?}");
    assert!(asked.elapsed() < Duration::from_secs(5));
    host.until(spec.id, "back", |report| report.restarts == 1 && report.status == Running).await;
    assert_eq!(call(&host, "POST", &spec, "").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn no_answer_says_why() {
    let host = Host::start().await;
    let unknown = InstanceSpec { id: InstanceId::generate(), ..spec() };
    assert_eq!(error(call(&host, "POST", &unknown, "").send().await.unwrap()).await.0, 404);

    let check = async |spec: &InstanceSpec, words: &str| {
        let response = call(&host, "POST", spec, "").send().await.unwrap();
        assert!(response.headers().contains_key("retry-after"), "{words}");
        assert_eq!(response.headers()["berth-refused"], "away", "nobody received it: {words}");
        let (status, body) = error(response).await;
        assert_eq!(status, 503);
        assert!(body.error.message.contains(words), "{words} is not in {body:?}");
    };

    let stopped = host.deploy().await;
    host.wish(stopped.id, "stop").await;
    host.status(stopped.id, 1, Stopped).await;
    check(&stopped, "stopped").await;

    let all = host.machine.gate.acquire_many(100).await.unwrap();
    let installing = spec();
    host.put(&installing).await;
    wait_until("an install", || {
        host.machine.asked().iter().filter(|asked| *asked == "install 1").count() == 2
    })
    .await;
    check(&installing, "being installed").await;

    *host.machine.install_error.lock().unwrap() = Some(|| RuntimeError::MissingProgram {
        program: "npm".to_owned(),
        detail: String::new(),
        install: "apt-get install npm".to_owned(),
    });
    drop(all);
    host.status(installing.id, 1, ErrorInstall).await;
    check(&installing, "apt-get install npm").await;

    // A shim whose server still starts has the word.
    *host.machine.install_error.lock().unwrap() = None;
    *host.machine.server.lock().unwrap() = ServerState::Starting { since: Timestamp(1) };
    let starting = spec();
    host.put(&starting).await;
    host.status(starting.id, 1, Starting).await;
    wait_until("a shim", || host.machine.pid(starting.id).is_some()).await;
    assert_eq!(call(&host, "POST", &starting, "").send().await.unwrap().status(), 200);
}
