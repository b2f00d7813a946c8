//! Against a server of which the test decides every answer, and against the fixture as a real one.

mod legacy;
mod modern;
mod old;
mod real;
mod refusals;
mod server;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Incoming, Purse, Target, Transport, run};

/// Longer than anything takes on a loaded machine; reached only by a failing test.
const DEADLINE: Duration = Duration::from_secs(30);
/// What must be shown nowhere.
const SECRET: &str = "s3cret";

/// What came in.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Message(Option<u64>, String),
    Reopened,
    Note(String),
}

/// The other end of the pipe.
struct Pipe {
    to: mpsc::Sender<Vec<u8>>,
    got: mpsc::UnboundedReceiver<Got>,
    task: JoinHandle<String>,
}

impl Pipe {
    fn open(url: &str, transport: Transport) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {SECRET}")).unwrap());
        Self::open_with(url, transport, headers, None)
    }

    fn open_with(url: &str, transport: Transport, headers: HeaderMap, purse: Option<Arc<Purse>>) -> Self {
        let (to, outgoing) = mpsc::channel(8);
        let (push, got) = mpsc::unbounded_channel();
        let target = Target { url: url.parse().unwrap(), transport, headers, purse };
        let task = tokio::spawn(run(target, outgoing, move |incoming| {
            let got = match incoming {
                Incoming::Message { origin, message } => {
                    Got::Message(origin, String::from_utf8(message.to_vec()).unwrap())
                }
                Incoming::Reopened => Got::Reopened,
                Incoming::Note(text) => Got::Note(text.to_owned()),
            };
            assert!(!format!("{got:?}").contains(SECRET), "{got:?}");
            // The test may have seen enough.
            let _ = push.send(got);
        }));
        Self { to, got, task }
    }

    async fn send(&self, lines: &str) {
        self.to.send(lines.as_bytes().to_vec()).await.unwrap();
    }

    async fn next(&mut self) -> Got {
        tokio::time::timeout(DEADLINE, self.got.recv()).await.unwrap().unwrap()
    }

    /// The next message and its origin; anything else is a failure.
    async fn message(&mut self) -> (Option<u64>, String) {
        match self.next().await {
            Got::Message(origin, message) => (origin, message),
            other => panic!("{other:?}"),
        }
    }

    async fn expect(&mut self, origin: Option<u64>, message: &str) {
        assert_eq!(self.message().await, (origin, message.to_owned()));
    }

    async fn ended(self) -> String {
        let why = tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap();
        assert!(!why.contains(SECRET), "{why}");
        why
    }

    /// Closes the pipe and waits for the end.
    async fn close(self) -> String {
        let Self { to, got, task } = self;
        drop((to, got));
        tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap()
    }
}

fn request(id: i64, method: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"}}\n")
}

/// A modern request; `params` ends with a comma when there are any.
fn modern(id: i64, method: &str, params: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{{{params}\"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{{}}}}}}}}\n"
    )
}

fn notification(method: &str, params: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\",\"params\":{{{params}}}}}\n")
}

fn result(id: i64, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{result}}}}}"#)
}

const INITIALIZED: &str = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";
const AGREED: &str = r#""protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s"}"#;

#[test]
fn writes_are_cut_into_lines() {
    for (write, expected) in [("", vec![]), ("a\nbc\n", vec!["a", "bc"]), ("a\n \r\n\nbc", vec!["a", "bc"])] {
        let found: Vec<_> = super::lines(write.as_bytes().to_vec()).collect();
        assert_eq!(found, expected);
    }
}
