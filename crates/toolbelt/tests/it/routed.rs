//! Where messages go, byte for byte.

use domain::toolbelts::{Kind, Mode};
use mcp::envelope;
use toolbelt::view::View;
use toolbelt::{Route, route};

use crate::{belt, listing, tools};

fn view(mode: Mode) -> View {
    let mut belt = belt(&["a", "b"]);
    belt.mode = mode;
    let resources = |uri: &str| listing(Kind::Resource, &[format!(r#"{{"uri":"{uri}"}}"#)]);
    let mut own = tools(&["x", "y"]);
    let page = r#"{"jsonrpc":"2.0","id":1,"result":{"prompts":[{"name":"greet"}]}}"#;
    own.take(Kind::Prompt, &envelope::scan(page.as_bytes()).unwrap());
    belt.hear(vec![(0, Ok(own)), (1, Ok(tools(&["x"])))]);
    let mut readable = resources("memo://all");
    let page =
        r#"{"jsonrpc":"2.0","id":1,"result":{"resourceTemplates":[{"uriTemplate":"file:///{path}"}]}}"#;
    readable.take(Kind::Template, &envelope::scan(page.as_bytes()).unwrap());
    belt.members.push(crate::member("c"));
    belt.hear(vec![(2, Ok(readable))]);
    belt.view()
}

/// The member and the message that it gets, or the answer, or what is asked of whoever runs it.
fn routed(view: &View, request: &str) -> String {
    let message = envelope::scan(request.as_bytes()).unwrap();
    match route(view, &message, None) {
        Route::To(to) => format!("{} < {}", to.face.name, String::from_utf8(to.message).unwrap()),
        Route::Answer(answer) => {
            let answer = envelope::scan(&answer).unwrap();
            format!("! {}", answer.error.or(answer.result).map_or("", |span| answer.raw(span)))
        }
        other => format!("{other:?}"),
    }
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc": "2.0", "id": 7, "method": "{method}", "params": {params}}}"#)
}

#[test]
fn requests() {
    let view = view(Mode::List);
    let check = |method: &str, params: &str, expected: &str| {
        let found = routed(&view, &request(method, params));
        assert!(found.contains(expected), "{method} {params}\n{found}\n{expected}");
    };
    check(
        "tools/call",
        r#"{"name": "y", "arguments": {"n": 1.0e400}}"#,
        r#"a < {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "y", "arguments": {"n": 1.0e400}}}"#,
    );
    check(
        "tools/call",
        r#"{"name": "b_x"}"#,
        r#"b < {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "x"}}"#,
    );
    check(
        "tools/call",
        r#"{"name": "b_x", "requestState": "id-b.\"s"}"#,
        r#""params": {"name": "x", "requestState": "\"s"}"#,
    );
    check(
        "tools/call",
        r#"{"name": "b_x", "requestState": "id-a.s"}"#,
        "! {\"code\":-32602,\"message\":\"`params.requestState` is not one",
    );
    check(
        "tools/call",
        r#"{"name": "b_x", "requestState": 1}"#,
        "! {\"code\":-32602,\"message\":\"`params.requestState` is not one",
    );
    check("tools/call", r#"{"name": "z"}"#, r#"Unknown { kind: Tool, name: "z" }"#);
    check("tools/call", r#"{"name": 1}"#, "`params.name` must be a text");
    check("tools/call", "{}", "`params.name` must be a text");
    check("tools/list", "{}", "List(Tool, None)");
    check("resources/list", r#"{"cursor": "abc"}"#, r#"List(Resource, Some("abc"))"#);
    check("prompts/list", r#"{"cursor": 1}"#, "`params.cursor` must be a text");
    check("prompts/get", r#"{"name": "greet"}"#, "a < ");
    check("resources/read", r#"{"uri": "memo://all"}"#, "c < ");
    check("resources/read", r#"{"uri": "file:///a/b"}"#, "c < ");
    check("resources/read", r#"{"uri": "http://a"}"#, r#"Unknown { kind: Resource, name: "http://a" }"#);
    check("completion/complete", r#"{"ref": {"type": "ref/prompt", "name": "greet"}}"#, "a < ");
    check("completion/complete", r#"{"ref": {"type": "ref/resource", "uri": "file:///{path}"}}"#, "c < ");
    check("completion/complete", "{}", "`params.ref` must name");
    check("subscriptions/listen", r#"{"notifications": {}}"#, r#"Listen("{}")"#);
    check("subscriptions/listen", "{}", "`params.notifications` must say");
    check("server/discover", "{}", "\"supportedVersions\":[\"2026-07-28\"]");
    check("tasks/get", "{}", "-32601");
}

#[test]
fn two_tools_in_the_place_of_all() {
    let view = view(Mode::Search);
    let check = |params: &str, expected: &str| {
        let found = routed(&view, &request("tools/call", params));
        assert!(found.contains(expected), "{params}\n{found}\n{expected}");
    };
    check(r#"{"name": "search_tools", "arguments": {"query": "x"}}"#, r#"Search("{\"query\": \"x\"}")"#);
    check(
        r#"{"name": "call_tool", "arguments": {"name": "b_x", "arguments": {"k": 9007199254740993}}}"#,
        r#"b < {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "x", "arguments": {"k": 9007199254740993}}}"#,
    );
    check(
        r#"{"name": "call_tool", "arguments": {"name": "y"}}"#,
        r#""params": {"name": "y", "arguments": {}}"#,
    );
    check(
        r#"{"name": "call_tool", "arguments": {"name": "y"}, "requestState": "id-a.s", "inputResponses": {}}"#,
        r#""params": {"name": "y", "arguments": {}, "requestState": "s", "inputResponses": {}}"#,
    );
    check(r#"{"name": "call_tool", "arguments": {}}"#, "`params.arguments.name` must name");
    check(r#"{"name": "call_tool", "arguments": {"name": "z"}}"#, "Unknown");
    // Whoever knows a name may use it.
    check(r#"{"name": "y"}"#, "a < ");
}

#[test]
fn answers() {
    let view = view(Mode::List);
    let check = |answer: &str, expected: &str| {
        let found = toolbelt::route::answered(&view.members[1], answer.as_bytes().to_vec());
        assert_eq!(String::from_utf8(found).unwrap(), expected);
    };
    let plain = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[], "big": 12345678901234567890}}"#;
    check(plain, plain);
    check(
        r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","requestState":"\u00e9\""}}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","requestState":"id-b.\u00e9\""}}"#,
    );
    let error = r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"m"}}"#;
    check(error, error);
}
