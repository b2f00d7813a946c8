//! The built-in server, spoken to over its pipes as a shim does: both eras, mixed on one process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::BERTH;

struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(BERTH)
            .arg("__welcome")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`berth` starts");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, input, output }
    }

    fn opened(capabilities: &Value) -> Self {
        let mut server = Self::start();
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "clientInfo": { "name": "test", "version": "1" },
        });
        let answer = server.ask("initialize", &params);
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
        assert_eq!(answer["result"]["serverInfo"]["name"], "berth-welcome");
        server.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        server
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").expect("it reads");
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.send(&json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params }));
        let answer = self.read();
        assert_eq!(answer["id"], method, "{answer}");
        answer
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.ask("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A modern request's `_meta`.
fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
    });
    params
}

#[track_caller]
fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"))
}

#[test]
fn tools() {
    let mut server = Server::opened(&json!({}));
    let list = server.ask("tools/list", &json!({}));
    let tools = list["result"]["tools"].as_array().expect("a list");
    let names: Vec<_> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(names, ["add", "ask", "echo", "progress"]);
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert!(tool["description"].as_str().is_some_and(|text| !text.is_empty()), "{tool}");
    }
    assert_eq!(text(&server.call("echo", &json!({ "message": "grüße\n\"" }))), "grüße\n\"");
    assert_eq!(text(&server.call("add", &json!({ "a": 2, "b": 3 }))), "5");
    assert_eq!(text(&server.call("add", &json!({ "a": 0.5, "b": 3 }))), "3.5");
    let missing = server.call("add", &json!({ "a": 2 }));
    assert!(missing["result"]["isError"] == true || missing["error"]["code"] == -32602, "{missing}");
    assert_eq!(server.call("nothing", &json!({}))["error"]["code"], -32602);
}

#[test]
fn progress() {
    let mut server = Server::opened(&json!({}));
    let params = json!({ "name": "progress", "arguments": { "steps": 3, "delay_ms": 1 }, "_meta": { "progressToken": "p" } });
    server.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }));
    for step in 1..=3 {
        let said = server.read();
        assert_eq!(said["method"], "notifications/progress");
        assert_eq!(
            (
                &said["params"]["progressToken"],
                said["params"]["progress"].as_f64(),
                said["params"]["total"].as_f64()
            ),
            (&json!("p"), Some(f64::from(step)), Some(3.0))
        );
    }
    assert_eq!(text(&server.read()), "took 3 steps");
    assert_eq!(server.call("progress", &json!({ "steps": 0 }))["error"]["code"], -32602);
}

#[test]
fn asks_a_legacy_client_in_mid_call() {
    let mut server = Server::opened(&json!({ "elicitation": {} }));
    let params = json!({ "name": "ask", "arguments": { "question": "Tea?" } });
    server.send(&json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params }));
    let question = server.read();
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "Tea?");
    let answer = json!({ "action": "accept", "content": { "answer": "please" } });
    server.send(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": answer }));
    assert_eq!(text(&server.read()), "the answer is: please");

    let mut silent = Server::opened(&json!({}));
    let refused = silent.call("ask", &json!({ "question": "Tea?" }));
    assert_eq!(refused["result"]["isError"], true, "{refused}");
}

#[test]
fn asks_a_modern_client_by_a_second_round_trip() {
    let mut server = Server::opened(&json!({}));
    let arguments = json!({ "name": "ask", "arguments": { "question": "Tea?" } });
    let first = server.ask("tools/call", &modern(arguments.clone()));
    assert_eq!(first["result"]["resultType"], "input_required", "{first}");
    assert_eq!(first["result"]["inputRequests"]["answer"]["method"], "elicitation/create");

    let mut retry = modern(arguments.clone());
    retry["inputResponses"] = json!({ "answer": { "action": "decline" } });
    retry["requestState"] = first["result"]["requestState"].clone();
    let second = server.ask("tools/call", &retry);
    assert_eq!(
        (&second["result"]["resultType"], text(&second)),
        (&json!("complete"), "the question was declined")
    );

    retry["requestState"] = json!("forged");
    assert_eq!(server.ask("tools/call", &retry)["error"]["code"], -32602);
}

#[test]
fn serves_both_eras_mixed() {
    let mut server = Server::opened(&json!({}));
    let discovered = server.ask("server/discover", &modern(json!({})));
    let versions = discovered["result"]["supportedVersions"].as_array().expect("a list");
    assert!(
        versions.contains(&json!("2026-07-28")) && versions.contains(&json!("2025-11-25")),
        "{versions:?}"
    );
    for _ in 0..2 {
        let echo = json!({ "name": "echo", "arguments": { "message": "hi" } });
        let answer = server.ask("tools/call", &modern(echo));
        assert_eq!((&answer["result"]["resultType"], text(&answer)), (&json!("complete"), "hi"));
        let answer = server.call("echo", &json!({ "message": "hi" }));
        assert_eq!((&answer["result"]["resultType"], text(&answer)), (&Value::Null, "hi"));
    }
}
