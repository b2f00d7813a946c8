//! A stream of bytes in the binary frames of a WebSocket (RFC 6455), for proxies that let nothing else through. What the frames hold is
//! what would be sent without them; where one ends means nothing.

use std::future::ready;
use std::io;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use http::header::{CONNECTION, HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

/// The protocol's name in `Upgrade`.
pub const PROTOCOL: &str = "websocket";
const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");
const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
/// The largest message that is taken, in bytes. Ours are some kilobytes.
const LARGEST: usize = 4 << 20;

/// The headers of a request for one, and what its answer must hold.
pub fn ask() -> (HeaderMap, String) {
    let key = generate_key();
    let expected = derive_accept_key(key.as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    headers.insert(VERSION, HeaderValue::from_static("13"));
    // It is base64, which a header may hold.
    headers.extend(HeaderValue::try_from(key).map(|key| (KEY, key)));
    (headers, expected)
}

/// Whether an answer of 101 is that of somebody who speaks it and read the request.
pub fn is_accepted(headers: &HeaderMap, expected: &str) -> bool {
    headers.get(ACCEPT).is_some_and(|found| found.as_bytes() == expected.as_bytes())
}

/// The headers of the 101 that answers a request; `None` when it asks for no WebSocket of version 13.
pub fn accept(asked: &HeaderMap) -> Option<HeaderMap> {
    let is_asked = asked.get(UPGRADE)?.to_str().ok()?.eq_ignore_ascii_case(PROTOCOL);
    if !is_asked || asked.get(VERSION)? != "13" {
        return None;
    }
    let accept = derive_accept_key(asked.get(KEY)?.as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    headers.insert(ACCEPT, HeaderValue::try_from(accept).ok()?);
    Some(headers)
}

/// The bytes within an upgraded connection, for the side that asked.
pub async fn client<S>(stream: S) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static + use<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    bytes_of(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config())).await)
}

/// As [`client`], for the side that was asked.
pub async fn server<S>(stream: S) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static + use<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    bytes_of(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await)
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST))
}

fn bytes_of<S>(socket: WebSocketStream<S>) -> impl AsyncRead + AsyncWrite + Send + Unpin + 'static + use<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sink, stream) = socket.split();
    // Pings are answered below this; what is no bytes says nothing here.
    let bytes = stream.map_err(failed).try_filter_map(|message| {
        ready(Ok(match message {
            Message::Binary(bytes) => Some(bytes),
            _ => None,
        }))
    });
    let sink =
        sink.sink_map_err(failed).with(|bytes: Bytes| ready(Ok::<_, io::Error>(Message::Binary(bytes))));
    tokio::io::join(StreamReader::new(bytes), SinkWriter::new(CopyToBytes::new(sink)))
}

fn failed(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn bytes_pass_whatever_the_frames() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (mut near, mut far) = (client(near).await, server(far).await);
        let sent: Vec<u8> = (0..300_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            for part in sent.chunks(7_777) {
                near.write_all(part).await.unwrap();
            }
            near.flush().await.unwrap();
            let mut answer = [0; 2];
            near.read_exact(&mut answer).await.unwrap();
            near.shutdown().await.unwrap();
            answer
        });
        let mut found = vec![0; expected.len()];
        far.read_exact(&mut found).await.unwrap();
        assert!(found == expected);
        far.write_all(b"ok").await.unwrap();
        far.flush().await.unwrap();
        assert_eq!(far.read(&mut [0]).await.unwrap_or(0), 0, "its end is an end");
        assert_eq!(&writing.await.unwrap(), b"ok");
    }

    #[test]
    fn handshakes() {
        let (asked, expected) = ask();
        let answer = accept(&asked).unwrap();
        assert!(is_accepted(&answer, &expected));
        assert!(!is_accepted(&HeaderMap::new(), &expected));
        for missing in [KEY, VERSION, UPGRADE] {
            let mut less = asked.clone();
            less.remove(&missing);
            assert!(accept(&less).is_none(), "{missing}");
        }
        let mut older = asked;
        older.insert(VERSION, HeaderValue::from_static("8"));
        assert!(accept(&older).is_none());
        // The example of RFC 6455 §1.3.
        assert_eq!(derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
