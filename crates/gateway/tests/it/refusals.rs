//! Every answer that the gateway gives itself.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::platform::{OTHER_ORIGIN, OWN_ORIGIN, Platform, Shim, answering};

type Headers<'a> = &'a [(&'a str, &'a str)];

const CALL: &str = r#"{"jsonrpc":"2.0","id":"abc-1","method":"tools/list"}"#;

#[tokio::test]
async fn instances_that_are_not_served_are_told_apart() {
    let platform = Platform::start(answering("{}")).await;
    let rows = [
        ("unknown", StatusCode::NOT_FOUND, "unknown", "there is no instance `unknown`"),
        ("tool", StatusCode::NOT_FOUND, "tool", "`berth status tool`"),
        ("stopped", StatusCode::SERVICE_UNAVAILABLE, "stopped", "`berth start stopped`"),
        ("starting", StatusCode::SERVICE_UNAVAILABLE, "starting", "installing packages"),
        ("failed", StatusCode::SERVICE_UNAVAILABLE, "failed", "it exits at once"),
        ("lost", StatusCode::SERVICE_UNAVAILABLE, "unreachable", "`far` does not report"),
    ];
    for (name, status, reason, words) in rows {
        let answer = platform.send(Method::POST, &format!("/mcp/acme/{name}"), &[], CALL).await;
        assert_eq!(answer.status, status, "{name}");
        let error = answer.json();
        assert_eq!(error["id"], "abc-1", "{name}");
        assert_eq!(error["error"]["data"]["reason"], reason);
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{name}: {message}");
        assert_eq!(
            answer.headers.contains_key("retry-after"),
            status == StatusCode::SERVICE_UNAVAILABLE,
            "{name}"
        );
    }
    assert!(platform.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_id_comes_back_as_it_was_written() {
    let platform = Platform::without_shim().await;
    for id in ["12345678901234567890123", "1.50", r#""a\u00e9""#, "\"\""] {
        let call = format!(r#"{{"jsonrpc":"2.0","method":"ping","id":{id}}}"#);
        let answer = platform.send(Method::POST, "/mcp/acme/echo", &[], &call).await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(text.contains(&format!(r#""id":{id},"#)), "{text}");
    }
    for not_a_request in ["", "[]", "garbage", r#"{"jsonrpc":"2.0","method":"notifications/x"}"#] {
        let answer = platform.send(Method::POST, "/mcp/acme/echo", &[], not_a_request).await;
        assert_eq!(answer.json()["id"], serde_json::Value::Null, "{not_a_request}");
    }
}

#[tokio::test]
async fn a_shim_that_is_gone_is_503_and_one_that_dies_is_502() {
    let platform = Platform::without_shim().await;
    let answer = platform.send(Method::POST, "/mcp/acme/echo", &[], CALL).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["error"]["data"]["reason"], "unreachable");

    // A shim that takes the request and ends before it answers.
    let listener = hop::address::bind_unix(platform.dir.path(), "shim.sock").unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 64];
        assert!(0 < stream.read(&mut head).await.unwrap());
    });
    let answer = platform.send(Method::POST, "/mcp/acme/echo", &[], CALL).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let error = answer.json();
    assert_eq!((&error["id"], &error["error"]["data"]["reason"]), (&"abc-1".into(), &"lost".into()));
}

#[tokio::test]
async fn tokens_are_required_and_told_apart() {
    let platform = Platform::start(answering("{}")).await;
    let rows: [(Headers, u16, &str, &str); 8] = [
        (&[], 401, r#"Bearer realm="berth""#, "is required"),
        (&[("authorization", "Basic YTpi")], 401, r#"Bearer realm="berth""#, "is required"),
        (&[("authorization", "Bearer ")], 401, r#"Bearer realm="berth""#, "is required"),
        (&[("authorization", "Bearer berth_wrong")], 401, "invalid_token", "not known"),
        (&[("authorization", "Bearer berth_expired")], 401, "invalid_token", "expired"),
        (&[("authorization", "Bearer berth_revoked")], 401, "invalid_token", "revoked"),
        (&[("authorization", "Bearer berth_unchecked")], 503, "", "cannot be checked"),
        (&[("authorization", "bearer berth_good")], 200, "", ""),
    ];
    for (headers, status, challenge, words) in rows {
        let answer = platform.send_bare(Method::POST, "/mcp/acme/echo?token=berth_good", headers, CALL).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}");
        let shown = answer.headers.get("www-authenticate").map_or("", |v| v.to_str().unwrap());
        assert!(
            shown.contains(challenge) && shown.is_empty() == challenge.is_empty(),
            "{headers:?}: {shown}"
        );
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(body.contains(words), "{headers:?}: {body}");
    }
}

#[tokio::test]
async fn a_refused_client_is_told_where_to_get_a_token() {
    let platform = Platform::start(answering("{}")).await;
    let metadata = |path: &str| {
        format!(
            r#"resource_metadata="{OWN_ORIGIN}/.well-known/oauth-protected-resource{path}", scope="mcp:call:{}""#,
            path.split('/').nth(3).unwrap()
        )
    };
    let bare = r#"Bearer realm="berth""#.to_owned();
    for (path, expected) in [
        ("/mcp/acme/echo", format!("{bare}, {}", metadata("/mcp/acme/echo"))),
        ("/mcp/acme/echo/sse", format!("{bare}, {}", metadata("/mcp/acme/echo/sse"))),
        // As of one that is there.
        ("/mcp/other/nothing", format!("{bare}, {}", metadata("/mcp/other/nothing"))),
        ("/mcp/acme/%22", bare.clone()),
        ("/mcp/acme", bare),
    ] {
        let answer = platform.send_bare(Method::POST, path, &[], CALL).await;
        assert_eq!(answer.headers["www-authenticate"].to_str().unwrap(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_token_for_one_address_opens_no_other() {
    let platform = Platform::start(answering("{}")).await;
    for (token, path, status) in [
        ("berth_for_echo_alone", "/mcp/acme/echo", 200),
        ("berth_for_echo_alone", "/mcp/acme/stopped", 401),
        ("berth_for_echo_alone", "/mcp/acme/nothing", 401),
        ("berth_for_echo_alone", "/mcp/other/echo", 401),
        ("berth_for_the_api", "/mcp/acme/echo", 401),
    ] {
        let token = format!("Bearer {token}");
        let answer = platform.send_bare(Method::POST, path, &[("authorization", &token)], CALL).await;
        assert_eq!(answer.status.as_u16(), status, "{token} {path}");
        if status == 401 {
            let challenge = answer.headers["www-authenticate"].to_str().unwrap();
            assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
            assert_eq!(answer.json()["id"], "abc-1");
        }
    }
}

#[tokio::test]
async fn another_account_does_not_exist() {
    let platform = Platform::start(answering("{}")).await;
    for path in
        ["/mcp/other/echo", "/mcp/acme", "/mcp/acme/", "/mcp//echo", "/mcp/acme/echo/x", "/mcp/acme/%65cho"]
    {
        let answer = platform.send(Method::POST, path, &[], CALL).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_back() {
    let platform = Platform::start(answering("{}")).await;
    let call = async || {
        let headers = [("authorization", "Bearer berth_slow")];
        platform.send_bare(Method::POST, "/mcp/acme/echo", &headers, CALL).await
    };
    assert_eq!(call().await.status, StatusCode::OK);
    let refused = call().await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    let body = refused.json();
    assert_eq!((&body["id"], &body["error"]["data"]["reason"]), (&"abc-1".into(), &"too_often".into()));
    assert_eq!(platform.send(Method::POST, "/mcp/acme/echo", &[], CALL).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_calls_what_it_is_for() {
    let platform = Platform::start(answering("{}")).await;
    let rule = r#"{"tools":{"allow":["get*"]},"prompts":{"allow":[]},"resources":{"allow":[]}}"#;
    for (scopes, instance, expected) in [
        ("mcp:call", "echo", Ok(None)),
        ("mcp:call:echo", "echo", Ok(None)),
        ("read_mcp:call:echo/get*", "echo", Ok(Some(rule))),
        ("mcp:call:echo", "behind", Err("mcp:call:behind")),
        // Nothing is told of what it is not for, not even whether it is there.
        ("mcp:call:echo", "nothing", Err("mcp:call:nothing")),
        ("mcp:call:echo", "stopped", Err("mcp:call:stopped")),
        ("admin", "echo", Err("mcp:call:echo")),
    ] {
        let token = format!("Bearer berth_scoped_{scopes}");
        // What a client writes there itself counts for nothing.
        let headers = [("authorization", token.as_str()), ("berth-rule", "e30=")];
        let path = format!("/mcp/acme/{instance}");
        let answer = platform.send_bare(Method::POST, &path, &headers, CALL).await;
        match expected {
            Ok(rule) => {
                assert_eq!(answer.status, StatusCode::OK, "{scopes} {instance}");
                let sent = platform.last_seen().headers.get("berth-rule").cloned();
                let sent = sent.map(|value| String::from_utf8(STANDARD.decode(value).unwrap()).unwrap());
                assert_eq!(sent.as_deref(), rule, "{scopes} {instance}");
            }
            Err(scope) => {
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{scopes} {instance}");
                let challenge = answer.headers["www-authenticate"].to_str().unwrap();
                let words = format!(r#"error="insufficient_scope", scope="{scope}""#);
                assert!(challenge.contains(&words), "{challenge}");
                assert_eq!(answer.json()["id"], "abc-1");
            }
        }
    }
    let wrong = platform
        .send_bare(
            Method::POST,
            "/mcp/acme/A%20b",
            &[("authorization", "Bearer berth_scoped_mcp:call:echo")],
            CALL,
        )
        .await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND, "no instance has such a name");
}

#[tokio::test]
async fn the_address_of_http_and_sse_is_another_one_at_the_shim() {
    let platform = Platform::start(answering("{}")).await;
    for (method, path, inner) in [
        (Method::GET, "/mcp/acme/echo/sse", "/mcp/sse"),
        (Method::POST, "/mcp/acme/echo/sse?sessionId=7", "/mcp/sse?sessionId=7"),
        (Method::POST, "/mcp/acme/echo?sessionId=7", "/mcp"),
    ] {
        assert_eq!(platform.send(method.clone(), path, &[], CALL).await.status, StatusCode::OK, "{path}");
        let seen = platform.last_seen();
        assert_eq!((seen.method, seen.uri.to_string().as_str()), (method, inner), "{path}");
    }
    let answer = platform.send(Method::GET, "/mcp/acme/other/sse", &[], "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn methods_other_than_three_are_405() {
    let platform = Platform::start(answering("{}")).await;
    for method in [Method::PUT, Method::PATCH, Method::HEAD, Method::OPTIONS] {
        let answer = platform.send(method.clone(), "/mcp/acme/echo", &[], "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.headers["allow"], "GET, POST, DELETE");
    }
}

#[tokio::test]
async fn pages_of_unknown_origins_may_not_call() {
    let platform = Platform::start(answering("{}")).await;
    for origin in ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8420", ""] {
        for method in [Method::POST, Method::GET, Method::OPTIONS] {
            let headers = [("origin", origin), ("host", "127.0.0.1:8420")];
            let answer = platform.send(method, "/mcp/acme/echo", &headers, CALL).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin}");
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
        }
    }
    for origin in [OWN_ORIGIN, OTHER_ORIGIN] {
        let answer = platform.send(Method::POST, "/mcp/acme/echo", &[("origin", origin)], CALL).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["access-control-allow-origin"], origin);
        assert_eq!(answer.headers["access-control-expose-headers"], "Mcp-Session-Id, WWW-Authenticate");
        assert_eq!(answer.headers["vary"], "origin");
        // A preflight carries no token, and a refusal must be readable for the page too.
        let wanted = [("origin", origin), ("access-control-request-headers", "authorization,mcp-param-x")];
        let answer = platform.send_bare(Method::OPTIONS, "/mcp/acme/echo", &wanted, "").await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(answer.headers["access-control-allow-headers"], "authorization,mcp-param-x");
        let answer = platform.send_bare(Method::POST, "/mcp/acme/echo", &wanted, CALL).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers["access-control-allow-origin"], origin);
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_413_announced_or_not() {
    let platform = Platform::start(answering("{}")).await;
    let limit = domain::shim::MAX_MESSAGE;
    let exact = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(limit - 36));
    assert_eq!(exact.len(), limit);
    assert_eq!(platform.send(Method::POST, "/mcp/acme/echo", &[], &exact).await.status, StatusCode::OK);
    assert_eq!(platform.last_seen().body.len(), limit);

    let answer = platform.send(Method::POST, "/mcp/acme/echo", &[], &format!("{exact} ")).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("16 MiB"));
    assert_eq!(platform.seen.lock().unwrap().len(), 1, "it never reached the shim");

    // In chunks, nothing announces the length.
    let mut stream = tokio::net::TcpStream::connect(platform.address).await.unwrap();
    let head = "POST /mcp/acme/echo HTTP/1.1\r\nhost: x\r\nauthorization: Bearer berth_good\r\n\
                transfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..17 {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.unwrap();
        stream.write_all(&chunk).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn errors_of_the_path_are_made_into_answers_for_the_client() {
    let refusing = |status: StatusCode, body: &'static str| -> Shim {
        Arc::new(move |_| {
            Box::pin(async move {
                let mut response =
                    Response::new(Full::new(Bytes::from_static(body.as_bytes())).boxed_unsync());
                *response.status_mut() = status;
                response.headers_mut().insert("retry-after", HeaderValue::from_static("9"));
                response
            })
        })
    };
    // A shim that does not know our key: the client's own token is good, so it must not see a 401.
    let platform = Platform::start(refusing(StatusCode::UNAUTHORIZED, "no")).await;
    let answer = platform.send(Method::POST, "/mcp/acme/echo", &[], CALL).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["id"], "abc-1");

    // A DTMA's own error gets the id; the status and `Retry-After` stay.
    let own = r#"{"error":{"code":"unavailable","message":"the instance starts","hint":"try again"}}"#;
    let platform = Platform::start(refusing(StatusCode::SERVICE_UNAVAILABLE, own)).await;
    let answer = platform.send(Method::POST, "/mcp/acme/behind", &[], CALL).await;
    assert_eq!(
        (answer.status, &answer.headers["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"9".parse().unwrap())
    );
    let error = answer.json();
    assert_eq!((&error["id"], &error["error"]["data"]["reason"]), (&"abc-1".into(), &"unavailable".into()));

    // What the server itself says passes as it is, whatever the status.
    let body = r#"{"jsonrpc":"2.0","id":"abc-1","error":{"code":-32601,"message":"x"}}"#;
    for path in ["/mcp/acme/echo", "/mcp/acme/behind"] {
        let platform = Platform::start(refusing(StatusCode::NOT_FOUND, body)).await;
        let answer = platform.send(Method::POST, path, &[], CALL).await;
        assert_eq!(
            (answer.status, answer.body),
            (StatusCode::NOT_FOUND, Bytes::from_static(body.as_bytes()))
        );
    }
}

#[tokio::test]
async fn who_is_not_known_keeps_the_connection_to_ask_where_to_sign_in() {
    let platform = Platform::start(answering("{}")).await;
    let mut stream = tokio::net::TcpStream::connect(platform.address).await.unwrap();
    // Head and body in two pieces, as many clients write them: the answer must not come between the two.
    let head = format!("POST /mcp/acme/echo HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", CALL.len());
    let mut answer = [0; 12];
    for _ in 0..3 {
        stream.write_all(head.as_bytes()).await.unwrap();
        let early =
            tokio::time::timeout(std::time::Duration::from_millis(50), stream.peek(&mut answer)).await;
        assert!(early.is_err(), "it was answered before its body was there");
        stream.write_all(CALL.as_bytes()).await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401");
        let mut rest = Vec::new();
        while !rest.ends_with(b"}}}") {
            rest.push(stream.read_u8().await.unwrap());
        }
    }
}
