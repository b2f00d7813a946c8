//! A control plane behind a real nginx: what the proxy says of a caller counts, and what a caller says of itself does not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use testkit::nginx::Nginx;
use testkit::platform::Platform;

use crate::BERTH;

/// `GET` with a token and further lines; status, head and body.
fn get(port: u16, path: &str, token: &str, lines: &str) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: berth.example.com\r\nauthorization: Bearer {token}\r\nconnection: close\r\n{lines}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head[9..12].parse().unwrap();
    (status, head.to_ascii_lowercase(), serde_json::from_str(body).unwrap_or_default())
}

fn port_of(platform: &Platform) -> u16 {
    platform.url().rsplit_once(':').unwrap().1.parse().unwrap()
}

/// As its documentation has it, with a scheme that the test chooses: nginx sees the test on 127.0.0.1 and says so.
fn proxied(platform: &Platform, scheme: &str) -> Nginx {
    Nginx::start(&format!(
        "listen 127.0.0.1:PORT; location / {{ proxy_pass {}; proxy_http_version 1.1; proxy_set_header Host $host;
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto {scheme};
         proxy_set_header X-Forwarded-Host $http_host; proxy_bind 127.0.0.2; }}",
        platform.url()
    ))
}

const SPOOFED: &str =
    "x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\nx-forwarded-host: evil.example\r\n";

#[test]
fn nginx_is_believed_where_it_was_named_and_its_callers_are_not() {
    let public = ["--public-url", "https://berth.example.com", "--trusted-proxy", "127.0.0.2"];
    let platform = Platform::start_with(BERTH, &public);
    let (secure, clear) = (proxied(&platform, "https"), proxied(&platform, "http"));
    let check = |port: u16, lines: &str, expected: (&str, &str, &str, bool)| {
        let (status, _, body) = get(port, "/api/v1/server", platform.token(), lines);
        assert_eq!(status, 200, "{body}");
        let seen = &body["caller"];
        let found = (
            seen["address"].as_str().unwrap(),
            seen["scheme"].as_str().unwrap(),
            seen["host"].as_str().unwrap(),
            seen["through_proxy"].as_bool().unwrap(),
        );
        assert_eq!(found, expected, "{lines}");
    };
    check(secure.port(), "", ("127.0.0.1", "https", "berth.example.com", true));
    // nginx adds the address that it saw behind the one that its caller made up.
    check(secure.port(), SPOOFED, ("127.0.0.1", "https", "berth.example.com", true));
    // Whoever comes from elsewhere than the proxy is who it is.
    check(port_of(&platform), SPOOFED, ("127.0.0.1", "http", "berth.example.com", false));

    // Who came to the proxy in clear is sent to the public address, on the MCP addresses too; probes are answered.
    for path in ["/api/v1/server", "/mcp/default/welcome?x=1"] {
        let (status, head, _) = get(clear.port(), path, platform.token(), SPOOFED);
        assert_eq!(status, 308, "{head}");
        let place = format!("location: https://berth.example.com{path}");
        assert!(head.lines().any(|line| line == place), "{head}");
    }
    assert_eq!(get(clear.port(), "/healthz", "", "").0, 200);
    // This machine's own plain address goes on, whatever its callers say.
    let clear_word = "x-forwarded-proto: http\r\n";
    assert_eq!(get(port_of(&platform), "/api/v1/server", platform.token(), clear_word).0, 200);
}

#[test]
fn without_a_named_proxy_nobody_is_believed() {
    let platform = Platform::start_with(BERTH, &["--public-url", "https://berth.example.com"]);
    let nginx = proxied(&platform, "http");
    let (status, _, body) = get(nginx.port(), "/api/v1/server", platform.token(), SPOOFED);
    assert_eq!(status, 200);
    assert_eq!(
        (&body["caller"]["address"], &body["caller"]["through_proxy"]),
        (&"127.0.0.2".into(), &false.into())
    );
    let refused = platform.command(&["up", "--trusted-proxy", "everybody"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("10.0.0.0/8"), "{said}");
}
