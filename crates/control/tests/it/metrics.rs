//! Metrics of instances: what heartbeats say and how calls went, by the minute, over a restart, and only for the account.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::users::Role;
use domain::ids::InstanceId;
use domain::measure::Measure;
use domain::status::{InstanceMetrics, InstanceStatus};
use domain::time::Timestamp;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::metrics::{MetricsRow, Step};

use crate::calls::{call, serve_shim};
use crate::dtma::{FakeDtma, heartbeat, report_of};
use crate::platform::{Life, PATIENCE, Platform, now};

/// Asks until the history is as it should be.
async fn history_until(platform: &Platform, query: &str, is: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = platform.get(&format!("/api/v1/instances/keyed/metrics{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.error());
        let history = answer.json();
        if is(&history) {
            return history;
        }
        assert!(Instant::now() < deadline, "waited in vain, it is {history:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_used_and_called_is_kept() {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _up) = dtma.listen(None).await;
    let platform = Platform::start(address).await;
    let body = json!({ "server": "npm:keyed@1.0.0", "name": "keyed" });
    assert_eq!(platform.post("/api/v1/instances", body).await.status, StatusCode::CREATED);
    platform.instance_until("keyed", |instance| instance["status"] == "installing").await;
    let spec = dtma.spec("keyed").unwrap();
    serve_shim(&platform, &spec.id.to_string());
    for (sequence, memory, cpu) in [(1, 100, None), (2, 300, Some(250))] {
        let mut report = report_of(&spec, InstanceStatus::Running, None);
        report.metrics = Some(InstanceMetrics {
            cpu_millicores: cpu,
            memory_bytes: memory,
            received_bytes: None,
            sent_bytes: None,
        });
        // What another environment's instance uses is not this one's to say.
        let mut foreign = report.clone();
        foreign.id = InstanceId::generate();
        let body = heartbeat(&platform.local.id.to_string(), sequence, &json!([report, foreign]));
        let token = platform.local.dtma_token.expose();
        let sent = platform.send(Some(token), Method::POST, api::dtma::HEARTBEAT_PATH, Some(body)).await;
        assert_eq!(sent.status, StatusCode::NO_CONTENT);
    }
    for _ in 0..3 {
        platform.post("/mcp/default/keyed", call(&json!({}))).await;
    }
    let history = history_until(&platform, "", |history| history["total"]["calls"] == 3).await;
    let total = &history["total"];
    assert_eq!((&total["memory_bytes"], &total["memory_bytes_max"]), (&json!(200), &json!(300)));
    assert_eq!((&total["cpu_millicores"], &total["cpu_millicores_max"]), (&json!(250), &json!(250)));
    assert_eq!((&total["errors"], &total["refused"]), (&json!(0), &json!(0)));
    assert!(total["p50_us"].as_u64().unwrap() <= total["p99_us"].as_u64().unwrap(), "{total}");
    assert_eq!((&history["range"], &history["step_seconds"]), (&json!("1h"), &json!(60)));
    let (from, until) = (history["from"].as_i64().unwrap(), history["until"].as_i64().unwrap());
    assert_eq!(until - from, 3_600_000_000);
    for point in history["points"].as_array().unwrap() {
        assert!((from..until).contains(&point["at"].as_i64().unwrap()), "{point}");
    }

    let lately = platform.get("/api/v1/metrics").await.json();
    assert_eq!(lately["instances"][0]["name"], "keyed");
    assert_eq!(lately["instances"][0]["figures"]["calls"], 3);
    assert_eq!(lately["instances"].as_array().unwrap().len(), 1, "nothing was seen of the others: {lately}");

    // The process ends, and nothing of it is lost.
    let platform = platform.again(|_| {}).await;
    for (query, step) in [("", 60), ("?range=1h", 60), ("?range=24h", 600), ("?range=30d", 3600)] {
        let history = history_until(&platform, query, |_| true).await;
        assert_eq!(history["total"]["calls"], 3, "{query}: {history}");
        assert_eq!(history["step_seconds"], step, "{query}");
    }

    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let theirs = platform.send(Some(&stranger), Method::GET, "/api/v1/metrics", None).await.json();
    assert_eq!(theirs["instances"], json!([]));
    for (path, start) in [
        ("/api/v1/instances/keyd/metrics", "404 not_found"),
        ("/api/v1/instances/keyed/metrics?range=2h", "400 bad_request"),
        ("/api/v1/instances/keyed/metrics?rnge=1h", "400 bad_request | rnge"),
    ] {
        let answer = platform.get(path).await;
        assert!(answer.error().starts_with(start), "{path}: {}", answer.error());
    }
    platform.stop().await;
}

#[tokio::test]
async fn what_is_old_goes_and_several_processes_add_up() {
    let platform = Platform::start(crate::platform::nobody()).await;
    let id = store::instances::list_all(&platform.store).await.unwrap().remove(0).id;
    let hour = 3_600_000_000;
    let this_hour = now().0 / hour * hour;
    let row = |step: Step, hours_ago: i64, writer: &str| MetricsRow {
        instance: id,
        step,
        at: Timestamp(this_hour - hours_ago * hour),
        writer: writer.to_owned(),
        measure: Measure { calls: 1, ..Measure::default() },
    };
    let rows = [
        row(Step::Minute, 1, "one"),
        row(Step::Minute, 1, "two"),
        row(Step::Minute, 26, "one"),
        row(Step::Hour, 1, "one"),
        row(Step::Hour, 26, "one"),
        row(Step::Hour, 24 * 31, "one"),
    ];
    let mut tx = platform.store.begin().await.unwrap();
    store::metrics::put(&mut tx, &rows).await.unwrap();
    tx.commit().await.unwrap();
    let calls = async |platform: &Platform, range: &str| {
        let path = format!("/api/v1/instances/welcome/metrics?range={range}");
        platform.get(&path).await.json()["total"]["calls"].clone()
    };
    assert_eq!(calls(&platform, "24h").await, 2);
    assert_eq!(calls(&platform, "30d").await, 2);
    // A start looks for what is old.
    let platform = platform.again(|_| {}).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let minutes = store::metrics::of_instance(&platform.store, id, Step::Minute, Timestamp(0)).await;
        let hours = store::metrics::of_instance(&platform.store, id, Step::Hour, Timestamp(0)).await;
        let left = (minutes.unwrap().len(), hours.unwrap().len());
        if left == (2, 2) {
            break;
        }
        assert!(Instant::now() < deadline, "{left:?} rows are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    platform.stop().await;
}
