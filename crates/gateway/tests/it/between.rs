//! Calls that come while an instance's process is replaced by another: they wait for it, and none is sent twice that was taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};

use crate::platform::{Platform, Shim};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#;

/// A shim that refuses so many requests with a word of why, and answers the next.
fn refusing(times: usize, status: StatusCode, why: Option<&'static str>) -> Shim {
    let seen = Arc::new(AtomicUsize::new(0));
    Arc::new(move |_| {
        let is_refused = seen.fetch_add(1, Ordering::SeqCst) < times;
        Box::pin(async move {
            let text = if is_refused { "{}" } else { r#"{"jsonrpc":"2.0","id":7,"result":{}}"# };
            let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync());
            if is_refused {
                *response.status_mut() = status;
                if let Some(why) = why {
                    response.headers_mut().insert("berth-refused", HeaderValue::from_static(why));
                }
            }
            response
        })
    })
}

#[tokio::test]
async fn a_call_waits_for_the_process_that_takes_the_place() {
    let (busy, away) = (StatusCode::SERVICE_UNAVAILABLE, Some("away"));
    for (instance, shim, status, sent) in [
        ("changing", refusing(3, busy, away), StatusCode::OK, 4),
        ("elsewhere", refusing(3, busy, away), StatusCode::OK, 4),
        ("elsewhere", refusing(1, busy, None), busy, 1),
        // It was refused for another reason: to send it again is for its client to decide.
        ("changing", refusing(1, busy, None), busy, 1),
        ("changing", refusing(1, StatusCode::OK, Some("rule")), StatusCode::OK, 1),
        (
            "changing",
            refusing(1, StatusCode::INTERNAL_SERVER_ERROR, None),
            StatusCode::INTERNAL_SERVER_ERROR,
            1,
        ),
        // Nothing takes the place of one that is not being replaced.
        ("echo", refusing(1, busy, away), busy, 1),
    ] {
        let platform = Platform::start(shim).await;
        let path = format!("/mcp/acme/{instance}");
        let answer = platform.send(Method::POST, &path, &[("x-mine", "1")], CALL).await;
        assert_eq!(answer.status, status, "{instance} {sent}");
        assert!(!answer.headers.contains_key("berth-refused"), "it is between gateway and shim");
        let seen = platform.seen.lock().unwrap().clone();
        assert_eq!(seen.len(), sent, "{instance}");
        for one in seen {
            assert_eq!(
                (one.body.as_ref(), &one.headers["x-mine"]),
                (CALL.as_bytes(), &HeaderValue::from_static("1"))
            );
            assert_eq!(one.headers["berth-key"], "the-key");
        }
    }
}

#[tokio::test]
async fn a_call_waits_for_a_socket_that_nobody_listens_on_yet() {
    let platform = Platform::without_shim().await;
    let late = async {
        // The first attempt has failed by then, or has not: it is answered either way.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        platform.serve(refusing(0, StatusCode::OK, None));
    };
    let (answer, ()) = tokio::join!(platform.send(Method::POST, "/mcp/acme/changing", &[], CALL), late);
    assert_eq!(answer.status, StatusCode::OK);
}
