//! Whatever a server says is text: its names, schemas, results and questions.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::server::{Server, discovered};
use super::{PAGE, signed_in};
use crate::browser::{csrf, text};

/// What people try. Each begins with a letter, so that it is in any case shown as it is.
pub(crate) const HOSTILE: &[&str] = &[
    "x<script>alert(1)</script>",
    "x</script><script>alert(1)</script>",
    "x\"><img src=x onerror=alert(1)>",
    "x' onmouseover='alert(1)",
    "x\" onfocus=\"alert(1)\" autofocus=\"",
    "x</textarea><svg onload=alert(1)>",
    "x</pre><iframe srcdoc='<script>alert(1)</script>'>",
    "x</title></style></noscript></template><b>",
    "x<!--",
    "x]]><?php",
    "x{{7*7}}{%raw%}",
    "x&lt;script&gt;&#x3c;b",
    "x\u{202e}\u{2028}\u{0}\u{7f}<b>",
    "x<a href=\"javascript:alert(1)\">",
    "x<form action=https://evil.example><input name=csrf>",
    "x<meta http-equiv=refresh content=0;url=https://evil.example>",
    "x<base href=https://evil.example>",
    "x<link rel=stylesheet href=https://evil.example>",
];

/// A server that says `word` wherever it may say anything.
fn saying(word: &'static str) -> impl Fn(&Value) -> Option<Value> + Send + Sync {
    move |request| {
        let text = json!({ "type": "text", "text": word });
        let schema = json!({
            "type": "object", "title": word, "description": word, "required": [word],
            "properties": {
                word: { "type": "string", "title": word, "description": word, "default": word, "pattern": word, "format": word },
                "email": { "type": "string", "format": "email", "default": word },
                "choice": { "enum": [word, "y"], "enumNames": [word], "default": word },
                "titled": { "oneOf": [{ "const": word, "title": word }, { "const": "y" }] },
                "many": { "type": "array", "items": { "enum": [word, "y"] }, "default": [word] },
                "list": { "type": "array", "items": { "type": "string" }, "default": [word] },
                "group": { "type": "object", "title": word, "description": word, "properties": { word: { "type": "string" } } },
                "raw": { "description": word, "default": { word: word } },
                "fixed": { "const": word },
                "flag": { "type": "boolean", "title": word },
                "number": { "type": "number", "title": word, "default": word },
            },
        });
        let params = &request["params"];
        Some(match request["method"].as_str()? {
            "server/discover" => {
                let mut discovered = discovered();
                discovered["instructions"] = word.into();
                discovered["_meta"]["io.modelcontextprotocol/serverInfo"] =
                    json!({ "name": word, "version": word });
                discovered
            }
            "tools/list" => {
                let of = |name: &str| json!({ "name": name, "title": word, "description": word, "inputSchema": schema });
                json!({ "tools": [of(word), of("result"), of("error"), of("ask")] })
            }
            "prompts/list" => json!({ "prompts": [{ "name": word, "title": word, "description": word,
                "arguments": [{ "name": word, "title": word, "description": word }] }] }),
            "resources/list" => {
                json!({ "resources": [{ "uri": word, "name": word, "description": word, "mimeType": word }] })
            }
            "resources/templates/list" => {
                json!({ "resourceTemplates": [{ "uriTemplate": word, "name": word, "description": word }] })
            }
            "prompts/get" => json!({ "messages": [{ "role": word, "content": text }] }),
            "resources/read" => json!({ "contents": [{ "uri": word, "mimeType": word, "text": word }] }),
            "tools/call" => match params["name"].as_str()? {
                "error" => Value::from(word),
                "ask" => json!({ "resultType": "input_required", "requestState": word, "inputRequests": {
                    word: { "method": "elicitation/create", "params": { "message": word, "requestedSchema": schema } },
                    "url": { "method": "elicitation/create", "params": { "mode": "url", "message": word, "url": word } },
                    "js": { "method": "elicitation/create", "params": { "mode": "url", "message": word, "url": "javascript:alert(1)" } },
                    "say": { "method": "sampling/createMessage", "params": { "systemPrompt": word, "maxTokens": word,
                        "messages": [{ "role": word, "content": text }] } },
                    "odd": { "method": word },
                } }),
                _ => json!({
                    "isError": true,
                    "content": [
                        text,
                        { "type": "image", "mimeType": word, "data": word },
                        { "type": "image", "mimeType": "image/png", "data": word },
                        { "type": "audio", "mimeType": "audio/wav", "data": word },
                        { "type": "resource_link", "uri": word, "name": word, "description": word, "mimeType": word },
                        { "type": "resource_link", "uri": "javascript:alert(1)", "name": "y" },
                        { "type": "resource", "resource": { "uri": word, "mimeType": word, "text": word } },
                        { "type": "resource", "resource": { "uri": word, "mimeType": word, "blob": word } },
                        { "type": word },
                    ],
                    "structuredContent": { word: word },
                }),
            },
            _ => return None,
        })
    }
}

/// The tags of a page with their attributes, as a browser reads them.
fn tags(page: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut tags = Vec::new();
    for piece in page.split('<').skip(1) {
        let end =
            piece.find(|c: char| !c.is_ascii_alphanumeric() && !"/!-?".contains(c)).unwrap_or(piece.len());
        let (name, mut rest) = piece.split_at(end);
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
            if rest.is_empty() || rest.starts_with('>') {
                break;
            }
            let end = rest.find(|c: char| c.is_whitespace() || "=>/".contains(c)).unwrap_or(rest.len());
            let (attribute, after) = rest.split_at(end.max(1));
            let (value, after) = match after.strip_prefix('=') {
                None => ("", after),
                Some(after) => match after.strip_prefix(['"', '\'']) {
                    Some(quoted) => quoted.split_once(&after[..1]).unwrap_or((quoted, "")),
                    None => after.split_at(after.find([' ', '>', '\n']).unwrap_or(after.len())),
                },
            };
            attributes.push((attribute.to_lowercase(), value.to_owned()));
            rest = after;
        }
        tags.push((name.to_lowercase(), attributes));
    }
    tags
}

/// What of a page is not ours: tags, attributes and addresses that we never write.
pub(crate) fn foreign(page: &str) -> Vec<String> {
    const OURS: &[&str] = &[
        "!doctype", "html", "head", "meta", "title", "link", "script", "body", "a", "header", "svg", "rect",
        "path", "span", "details", "summary", "use", "ul", "ol", "li", "form", "input", "button", "nav", "p",
        "main", "div", "h1", "h2", "h3", "section", "b", "code", "label", "textarea", "select", "option",
        "fieldset", "legend", "pre", "img", "audio", "time", "article", "del", "ins", "h4", "dl", "dt", "dd",
        "table", "thead", "tbody", "tr", "th", "td", "datalist",
    ];
    let mut found = Vec::new();
    for (name, attributes) in tags(page) {
        if !OURS.contains(&name.trim_start_matches('/')) {
            found.push(format!("<{name}"));
        }
        for (attribute, value) in attributes {
            let is_address = ["href", "src", "action", "formaction"].contains(&&*attribute);
            let leads_here =
                value.starts_with('/') || value.starts_with('#') || value.starts_with("data:image/");
            let is_bad = attribute.starts_with("on")
                || ["srcdoc", "style", "http-equiv", "autofocus"].contains(&&*attribute);
            if is_bad || (is_address && !leads_here) {
                found.push(format!("<{name} {attribute}={value}"));
            }
        }
    }
    found
}

#[test]
fn what_is_foreign_is_found() {
    for word in HOSTILE {
        let is_seen = !foreign(&format!("<p>{word}</p>")).is_empty()
            || !foreign(&format!("<p title=\"{word}\">")).is_empty()
            || !foreign(&format!("<p title='{word}'>")).is_empty();
        // Scripts are ours too; how many there are is counted.
        let is_markup =
            !word.contains("<script") && ["alert", "evil", "<!", "</"].iter().any(|part| word.contains(part));
        assert!(is_seen || !is_markup, "{word}");
    }
    assert_eq!(
        foreign("<a href=\"/a\">x&#60;b</a><img src=\"data:image/png;base64,x\" alt=\"y\">"),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn what_strangers_write_is_text() {
    for word in HOSTILE {
        let (platform, _server) = Server::start_with(Arc::new(saying(word))).await;
        let browser = signed_in(&platform, &platform.owner).await;
        let csrf = csrf(&browser.get("/you").await);
        let escaped: String = form_urlencoded::byte_serialize(word.as_bytes()).collect();
        let mut pages = Vec::new();
        for query in [
            String::new(),
            format!("?q={escaped}"),
            format!("?tool={escaped}"),
            format!("?tool={escaped}&raw"),
            format!("?prompt={escaped}"),
            format!("?resource={escaped}"),
            format!("?template={escaped}"),
            "?tool=ask".to_owned(),
        ] {
            let answer = browser.get(&format!("{PAGE}{query}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{query}");
            pages.push((query, text(&answer)));
        }
        let origin = platform.url();
        for accept in ["text/html", "text/event-stream"] {
            for (kind, name) in
                [("tool", "result"), ("tool", "error"), ("tool", "ask"), ("prompt", word), ("resource", word)]
            {
                let json = json!({ *word: word }).to_string();
                let fields =
                    [("kind", kind), ("name", name), ("json", &*json), ("do", "call"), ("csrf", &*csrf)];
                let headers = [("origin", origin.as_str()), ("accept", accept)];
                let answer = browser.send(Method::POST, PAGE, &headers, Some(&fields)).await;
                assert_eq!(answer.status, StatusCode::OK, "{kind} {name}: {}", text(&answer));
                let mut shown = text(&answer);
                if accept != "text/html" {
                    let data = shown.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                    let event: Value = serde_json::from_str(data).unwrap();
                    event["ended"].as_str().unwrap().clone_into(&mut shown);
                }
                pages.push((format!("{accept} {kind} {name}"), shown));
            }
        }
        // Wrong answers are shown again.
        let fields = [
            ("kind", "tool"),
            ("name", word),
            ("arguments", "{}"),
            ("state", word),
            ("do", "answer"),
            ("csrf", &*csrf),
            ("requests", r#"{"k":{"method":"sampling/createMessage","params":{"messages":[]}}}"#),
            ("q0.act", word),
        ];
        let answer = browser.post(PAGE, &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        pages.push(("wrong answer".to_owned(), text(&answer)));
        for (what, page) in &pages {
            assert!(
                !page.contains(word) || !word.contains(['<', '"', '\'', '&']),
                "{what}: {word:?}: {page}"
            );
            assert_eq!(foreign(page), Vec::<String>::new(), "{what}: {word:?}: {page}");
            let scripts = usize::from(page.starts_with("<!doctype"));
            assert_eq!(page.matches("<script").count(), scripts, "{what}: {word:?}: {page}");
        }
        platform.stop().await;
    }
}
