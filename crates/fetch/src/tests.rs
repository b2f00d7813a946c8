use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::*;

#[test]
fn what_may_be_asked() {
    let internet = Fetcher::new(Reach::Internet).unwrap();
    let everywhere = Fetcher::new(Reach::Everywhere).unwrap();
    let check = |url: &str, by_default: bool, when_told: bool| {
        assert_eq!(
            (internet.check(url).is_ok(), everywhere.check(url).is_ok()),
            (by_default, when_told),
            "{url}"
        );
    };
    check("https://as.example.com/x", true, true);
    check("https://8.8.8.8/x", true, true);
    check("http://as.example.com/x", false, true);
    check("http://127.0.0.1:1/x", false, true);
    check("https://127.0.0.1/x", false, true);
    // Other ways to write the same.
    check("https://2130706433/x", false, true);
    check("https://0x7f.1/x", false, true);
    check("https://[::1]/x", false, true);
    check("https://[::ffff:169.254.169.254]/x", false, true);
    check("https://169.254.169.254/latest", false, true);
    check("https://me:pw@as.example.com/", false, false);
    check("file:///etc/passwd", false, false);
    check("gopher://as.example.com/", false, false);
    check("/x", false, false);
}

/// Answers one request with what is given.
fn answer_once(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head);
        let _ = stream.write_all(answer.as_bytes());
    });
    format!("http://localhost:{}/x", address.port())
}

async fn get(fetcher: &Fetcher, url: &str) -> Result<Fetched, FetchError> {
    fetcher.send(Method::GET, url, HeaderMap::new(), Bytes::new(), 8).await
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_followed() {
    let fetcher = Fetcher::new(Reach::Internet).unwrap();
    // `localhost` says nothing of itself; what it is resolved to does.
    let refused = get(&fetcher, "https://localhost:1/x").await.unwrap_err();
    assert!(matches!(refused, FetchError::Closed(_)), "{refused}");
}

#[tokio::test]
async fn redirects_are_answers_and_answers_are_small() {
    let fetcher = Fetcher::new(Reach::Everywhere).unwrap();
    let url = answer_once("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
    let answer = get(&fetcher, &url).await.unwrap();
    assert_eq!(answer.status, StatusCode::FOUND);
    let url = answer_once("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n12345678");
    assert_eq!(get(&fetcher, &url).await.unwrap().body, "12345678");
    let url = answer_once("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n123456789");
    let refused = get(&fetcher, &url).await.unwrap_err();
    assert!(matches!(refused, FetchError::TooLong { .. }), "{refused}");
}
