//! Which pages may call the older functions.

use http::{Method, StatusCode};

use super::supabase::platform;

const FRONT: &str = "https://app.example.com";

#[tokio::test]
async fn pages_of_origins_that_were_named_may_call() {
    let platform = platform(|config| config.allowed_origins = vec![FRONT.to_owned()]).await;
    let asked = |origin: &'static str| {
        [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,apikey,content-type,x-client-info"),
        ]
    };
    for path in [
        "/functions/v1/toolboxes-user",
        "/functions/v1/toolbox-tools/x/tools/y/start",
        "/functions/v1/mcp-template-manager",
        "/functions/v1/there-is-none",
        "/api/mcp/servers",
    ] {
        let answer = platform.send_with(None, Method::OPTIONS, path, &asked(FRONT)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}: {answer:?}");
        let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("access-control-allow-origin"), Some(FRONT), "{path}");
        let headers = Some("authorization, x-client-info, apikey, content-type");
        assert_eq!(header("access-control-allow-headers"), headers, "{path}");
        assert!(header("access-control-allow-methods").unwrap().contains("DELETE"), "{path}");
        assert_eq!(header("vary"), Some("origin"));
        // Nor is a refusal kept from the page, whoever calls.
        let refused = platform.send_with(None, Method::GET, path, &[("origin", FRONT)]).await;
        assert!(400 <= refused.status.as_u16(), "{path}: {refused:?}");
        assert_eq!(refused.headers["access-control-allow-origin"], FRONT, "{path}");
        assert!(refused.json()["error"].is_string(), "{path}: {refused:?}");

        for other in ["https://evil.example", "null", "https://app.example.com.evil.example"] {
            let answer = platform.send_with(None, Method::OPTIONS, path, &asked(other)).await;
            let named: Vec<&str> = answer.headers.keys().map(http::HeaderName::as_str).collect();
            assert!(
                !named.iter().any(|name| name.starts_with("access-control")),
                "{path} {other}: {named:?}"
            );
            let read = platform.send_with(None, Method::GET, path, &[("origin", other)]).await;
            assert!(!read.headers.contains_key("access-control-allow-origin"), "{path} {other}");
        }
    }
    // A program that is no browser names no origin.
    let plain =
        platform.send_with(Some(&platform.owner), Method::GET, "/functions/v1/toolboxes-user", &[]).await;
    assert_eq!(
        (plain.status, plain.headers.contains_key("access-control-allow-origin")),
        (StatusCode::OK, false)
    );
    platform.stop().await;
}
