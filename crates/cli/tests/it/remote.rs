//! A server that runs elsewhere: deployed by its address, its credentials kept by Berth, called by clients of both eras.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use serde_json::json;
use testkit::mcp::Mcp;
use testkit::platform::Platform;

use crate::BERTH;
use crate::conformance::fixture;

/// A server of somebody else's, killed when dropped.
pub(crate) struct Elsewhere {
    process: Child,
    pub(crate) url: String,
}

impl Elsewhere {
    pub(crate) fn start(era: &str) -> Self {
        let mut command = Command::new(fixture());
        command.args(["--transport", "http", "--era", era]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("the fixture starts");
        let mut url = String::new();
        let out = process.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut url).expect("its address");
        Self { process, url: url.trim().to_owned() }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn clients_of_both_eras_use_servers_of_both_eras() {
    let platform = Platform::start(BERTH);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for era in ["legacy", "modern"] {
        let elsewhere = Elsewhere::start(era);
        platform.ok(&["deploy", &elsewhere.url, "--name", era, "--wait"]);
        let said = platform.ok(&["call", era, "echo", r#"{"message":"hi"}"#]);
        assert!(said.contains("hi"), "{said}");
        let modern = Mcp::modern(&platform.mcp_url(era), platform.token());
        let result = runtime.block_on(modern.call("echo", json!({"message": "ho"}))).unwrap();
        assert_eq!(result["content"][0]["text"], "ho");
        let status = platform.json(&["status", era]);
        assert_eq!((&status["package"], &status["status"]), (&json!(elsewhere.url), &json!("running")));
    }
}

/// Takes one request and answers it with a status; gives its head.
fn answer_once(listener: TcpListener, status: &'static str) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream: TcpStream = stream;
            let mut head = [0; 4096];
            let count = stream.read(&mut head).unwrap_or(0);
            drop(tell.send(String::from_utf8_lossy(&head[..count]).into_owned()));
            drop(write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
        }
    });
    told
}

#[test]
fn credentials_are_sent_there_and_shown_nowhere() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let requests = answer_once(listener, "401 Unauthorized");
    let platform = Platform::start(BERTH);
    let secret = "Authorization=Bearer hunter2";
    platform.ok(&["deploy", &url, "--name", "closed", "--secret", secret, "--set", "X-Team=a"]);
    let head = requests.recv_timeout(std::time::Duration::from_mins(1)).expect("it is asked");
    assert!(head.contains("authorization: Bearer hunter2") && head.contains("x-team: a"), "{head}");
    let status = testkit::wait::until("a failure that says why", || {
        let status = platform.json(&["status", "closed"]);
        let message = status["message"].as_str().unwrap_or_default();
        message.contains("401").then(|| status.to_string())
    });
    let all = format!("{status}{}", platform.ok(&["logs", "closed"]));
    assert!(all.contains("refused the credentials") && !all.contains("hunter2"), "{all}");
}
