use std::convert::Infallible;
use std::net::SocketAddr;

use api::instances::DeployRequest;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use store::environments::Droplet;
use store::instances::Moving;

use super::*;
use crate::app::deployment;
use crate::config::LocalWay;
use crate::reach::Way;
use crate::tasks::stage;

const PATIENCE: Duration = Duration::from_secs(8);

/// Takes connections and never says a word.
async fn silent_host() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address
}

/// Agrees to everything.
async fn willing_host() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = hyper::service::service_fn(|_: Request<Incoming>| async {
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok::<_, Infallible>(response)
    });
    let listener = hop::serve::Listener::Tcp(listener);
    tokio::spawn(hop::serve::serve(listener, service, std::future::pending()));
    address
}

#[tokio::test]
async fn a_host_that_says_nothing_holds_up_no_other() {
    let (_dir, app) = stage::app(silent_host().await, LocalWay::Socket).await;
    let local = store::environments::list_all(&app.store).await.unwrap().remove(0);
    let id = EnvironmentId::generate();
    let other = EnvironmentRow {
        id,
        name: "other".parse().unwrap(),
        reach: serde_json::to_value(Way::Direct { dtma: willing_host().await, pin: None }).unwrap(),
        dtma_token_sealed: Some(app.keys.seal(id.0, "token").unwrap()),
        droplet: Droplet::default(),
        ..local
    };
    let request: DeployRequest = serde_json::from_value(serde_json::json!({ "server": "welcome" })).unwrap();
    let plan = deployment::plan(&request, &store::catalog::all(&app.store).await.unwrap()).unwrap();
    let (what, name) = (plan.what(Moving::first(None)), "second".parse().unwrap());
    let row = instances::new_row(&app.keys, other.account, other.id, name, &what, &plan.secrets).unwrap();

    let reconciler = tokio::spawn({
        let app = Arc::clone(&app);
        async move { Deployer::default().run(&app).await }
    });
    // The silent host is being asked; only now is there something to do for the other.
    let deadline = Instant::now() + PATIENCE;
    while app.statuses.view().deploy.waiting == 0 {
        assert!(Instant::now() < deadline, "the reconciler did not look");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut tx = app.store.begin().await.unwrap();
    store::environments::insert(&mut tx, &other, None).await.unwrap();
    instances::insert(&mut tx, &row, &std::collections::BTreeMap::new(), "test".to_owned()).await.unwrap();
    tx.commit().await.unwrap();
    app.changed(std::slice::from_ref(&row)).await.unwrap();
    while app.statuses.view().deploy.put == 0 {
        assert!(Instant::now() < deadline, "the willing host waits for the silent one");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    app.stop.cancel();
    tokio::time::timeout(PATIENCE, reconciler).await.expect("it stops at once").unwrap();
}
