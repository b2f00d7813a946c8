//! Heartbeats, as a control plane gets them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::dtma::{HEARTBEAT_PATH, Heartbeat, HeartbeatAnswer};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use domain::ids::InstanceId;
use domain::status::InstanceStatus::Running;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::host::{Host, TOKEN, wait_until};

#[derive(Clone, Default)]
pub(crate) struct Control {
    got: Arc<Mutex<Vec<Heartbeat>>>,
    pub(crate) refuse: Arc<Mutex<bool>>,
    leases: Arc<Mutex<Vec<InstanceId>>>,
}

impl Control {
    pub(crate) fn serve(&self, listener: TcpListener) -> CancellationToken {
        let router = Router::new().route(HEARTBEAT_PATH, post(take)).with_state(self.clone());
        let stop = CancellationToken::new();
        tokio::spawn(hop::serve::serve_router(
            hop::serve::Listener::Tcp(listener),
            router,
            stop.clone().cancelled_owned(),
        ));
        stop
    }

    /// From now on the answers let these run.
    pub(crate) fn grant(&self, leases: &[InstanceId]) {
        *self.leases.lock().unwrap() = leases.to_vec();
    }

    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Heartbeat) -> bool) {
        wait_until(what, || self.got.lock().unwrap().iter().any(&wanted)).await;
    }

    /// What the last heartbeat that has it says.
    pub(crate) fn last<T>(&self, of: impl Fn(&Heartbeat) -> Option<T>) -> T {
        self.got.lock().unwrap().iter().rev().find_map(of).expect("one of them says it")
    }

    /// Waits until the newest heartbeat is as wanted; changes on the host make it send new ones.
    pub(crate) async fn until_last(&self, what: &str, wanted: impl Fn(&Heartbeat) -> bool, host: &Host) {
        host.deploy().await;
        wait_until(what, || self.got.lock().unwrap().last().is_some_and(&wanted)).await;
    }
}

async fn take(State(control): State<Control>, headers: HeaderMap, Json(beat): Json<Heartbeat>) -> Response {
    assert_eq!(headers["authorization"], format!("Bearer {TOKEN}").as_str());
    if *control.refuse.lock().unwrap() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    control.got.lock().unwrap().push(beat);
    let leases = control.leases.lock().unwrap().clone();
    if leases.is_empty() {
        return StatusCode::NO_CONTENT.into_response();
    }
    Json(HeartbeatAnswer { leases }).into_response()
}

pub(crate) async fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn changes_are_told_at_once_and_in_order() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let control = Control::default();
    control.serve(listener);
    let mut host = Host::new();
    host.control_url = Some(format!("http://{address}"));
    host.up().await;
    control.until("the first heartbeat", |beat| beat.instances.is_empty()).await;

    let changed = tokio::time::Instant::now();
    let spec = host.deploy().await;
    control
        .until("a running instance", |beat| {
            beat.instances.iter().any(|report| report.id == spec.id && report.status == Running)
        })
        .await;
    assert!(changed.elapsed() < Duration::from_secs(10), "not with the next period's");
    host.request("DELETE", &format!("/v1/instances/{}", spec.id)).send().await.unwrap();
    let seen = control.got.lock().unwrap().len();
    wait_until("a heartbeat without it", || {
        control.got.lock().unwrap().iter().skip(seen).any(|beat| beat.instances.is_empty())
    })
    .await;

    let got = control.got.lock().unwrap();
    assert!(got.iter().all(|beat| beat.environment == host.environment && beat.protections.len() == 1));
    assert!(got.iter().all(|beat| beat.started_at == got[0].started_at && 0 < beat.system.cores));
    assert!(got.is_sorted_by(|before, after| before.sequence < after.sequence));
}

#[tokio::test]
async fn a_living_instance_is_never_told_as_another() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let control = Control::default();
    control.serve(listener);
    let mut host = Host::start().await;
    let spec = host.deploy().await;
    host.down().await;
    host.control_url = Some(format!("http://{address}"));
    host.up().await;
    wait_until("a heartbeat", || !control.got.lock().unwrap().is_empty()).await;
    let got = control.got.lock().unwrap();
    let told: Vec<_> = got[0].instances.iter().map(|report| (report.id, report.status)).collect();
    assert_eq!(
        told,
        [(spec.id, Running)],
        "a DTMA that starts tells what it found, not what it has not looked at"
    );
}

#[tokio::test]
async fn a_host_goes_on_without_a_control_plane_and_finds_it_again() {
    let (listener, address) = listen("127.0.0.1:0").await;
    drop(listener);
    let mut host = Host::new();
    host.control_url = Some(format!("http://{address}"));
    host.up().await;
    let spec = host.deploy().await;

    let (listener, _) = listen(&address.to_string()).await;
    let control = Control::default();
    *control.refuse.lock().unwrap() = true;
    let stop = control.serve(listener);
    *control.refuse.lock().unwrap() = false;
    control.until("a heartbeat", |beat| beat.instances.iter().any(|report| report.status == Running)).await;

    stop.cancel();
    host.wish(spec.id, "restart").await;
    host.status(spec.id, 1, Running).await;
    let seen = control.got.lock().unwrap().len();
    let (listener, _) = listen(&address.to_string()).await;
    control.serve(listener);
    wait_until("another heartbeat", || seen < control.got.lock().unwrap().len()).await;
}
