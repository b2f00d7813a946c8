//! Who is accepted over TLS, and what a caller who says nothing costs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hop::serve::{Listener, serve};
use hop::tls::{Files, Pin, client_config, server_config};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

const OTHER: &str = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[test]
fn pins() {
    let check = |text: &str, expected: bool| {
        let pin: Result<Pin, _> = text.parse();
        assert_eq!(pin.is_ok(), expected, "{text}");
        if let Ok(pin) = pin {
            assert_eq!(pin.to_string(), text);
        }
    };
    check(OTHER, true);
    check("sha256//AAAA", false);
    check("sha1//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", false);
    check("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", false);
    check("sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false);
    check("sha256//!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", false);
    check("", false);
}

#[test]
fn a_key_is_made_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("tls");
    let names = ["127.0.0.1".to_owned(), "berth.example.com".to_owned()];
    let pin = Files::own(&below, &names).unwrap().pin().unwrap();
    for name in ["cert.pem", "key.pem"] {
        let mode = std::fs::metadata(below.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(Files::own(&below, &[]).unwrap().pin().unwrap(), pin);
    // A certificate that was lost is made for the same key.
    std::fs::remove_file(below.join("cert.pem")).unwrap();
    assert_eq!(Files::own(&below, &names).unwrap().pin().unwrap(), pin);
    std::fs::write(below.join("key.pem"), "rubbish").unwrap();
    std::fs::remove_file(below.join("cert.pem")).unwrap();
    let error = Files::own(&below, &names).unwrap_err().to_string();
    assert!(error.contains("key.pem") && error.contains("no private key"), "{error}");
}

#[tokio::test]
async fn exactly_the_key_is_accepted_and_who_says_nothing_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::own(dir.path(), &["127.0.0.1".to_owned()]).unwrap();
    let pin = files.pin().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service_fn(|_: Request<Incoming>| async {
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(b"hi"))))
    });
    let config = server_config(files).unwrap();
    tokio::spawn(serve(Listener::Tls(listener, config), service, std::future::pending()));

    // One who connects and says nothing, and one who speaks plain HTTP.
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut plain, &mut said);
    drop(tokio::time::timeout(Duration::from_secs(5), read).await.expect("the connection is closed"));
    assert!(!said.starts_with(b"HTTP"), "{said:?}");

    for (expected, accepted) in [(pin, true), (OTHER.parse().unwrap(), false)] {
        let connector = TlsConnector::from(Arc::new(client_config(Some(&expected)).unwrap()));
        let stream = TcpStream::connect(address).await.unwrap();
        // The name is not looked at.
        let shaken = connector.connect("elsewhere.example".try_into().unwrap(), stream).await;
        match shaken {
            Ok(stream) => {
                assert!(accepted, "{expected}");
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            }
            Err(error) => {
                assert!(!accepted, "{expected}: {error}");
                assert!(error.to_string().contains(&pin.to_string()), "{error}");
            }
        }
    }
}
