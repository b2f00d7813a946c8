//! The playground over HTTP as a browser without a script uses it, against a server that the tests play.

pub(crate) mod hostile;
mod server;

use api::users::Role;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::calls::Wanted;

use crate::browser::{Browser, csrf, location, text};
use crate::platform::{Life, PATIENCE, Platform};
use server::{Server, TINY};

pub(crate) const PASSWORD: &str = "correct horse battery staple";
const PAGE: &str = "/a/default/instances/welcome/playground";

type Pairs<'a> = &'a [(&'a str, &'a str)];

async fn signed_in<'a>(platform: &'a Platform, token: &str) -> Browser<'a> {
    platform.set_password(token, PASSWORD).await;
    let me = platform.send(Some(token), Method::GET, "/api/v1/whoami", None).await.json();
    let browser = Browser::new(platform);
    browser.sign_in(me["user_name"].as_str().unwrap(), PASSWORD).await;
    browser
}

#[tokio::test]
async fn a_tool_is_called_with_a_form() {
    let (platform, server) = Server::start().await;
    let browser = signed_in(&platform, &platform.owner).await;
    let page = text(&browser.get(PAGE).await);
    for words in [
        "Tools",
        "echo",
        "Prompts",
        "greet",
        "Resources",
        "a://text",
        "a://{id}/x",
        "read-only",
        "Choose what to call",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let found = text(&browser.get(&format!("{PAGE}?q=big")).await);
    assert!(found.contains("Says a lot") && !found.contains(">greet<"), "{found}");

    // Who reads the live parts of a page again does not ask its server again.
    let asked = server.texts().len();
    let live = browser.send(Method::GET, PAGE, &[("berth-live", "1")], None).await;
    assert_eq!((live.status, server.texts().len()), (StatusCode::OK, asked));
    assert!(text(&live).contains("id=\"instance-head\""));

    let form = text(&browser.get(&format!("{PAGE}?tool=echo")).await);
    for words in
        ["name=\"a/message\"", "name=\"a/count\" type=\"number\"", "value=\"3\"", "max=\"9\"", "What is said"]
    {
        assert!(form.contains(words), "{words}: {form}");
    }
    let fields =
        [("kind", "tool"), ("name", "echo"), ("a/message", "hi\r\nyou"), ("a/count", "2"), ("do", "call")];
    let answer = browser.submit(PAGE, PAGE, &fields).await;
    let page = text(&answer);
    assert_eq!(answer.status, StatusCode::OK, "{page}");
    assert!(page.contains("<pre tabindex=\"0\">hi\nyou</pre>"), "{page}");
    let sent = server.last("tools/call");
    assert_eq!(sent["params"]["arguments"], json!({ "message": "hi\nyou", "count": 2 }));
    assert!(page.contains("berth call welcome echo"), "{page}");
    assert!(page.contains("Authorization: Bearer $BERTH_TOKEN"), "{page}");
    assert!(page.contains("Your last calls"));

    // A prompt, a resource, a template.
    for (fields, expected) in [
        (&[("kind", "prompt"), ("name", "greet"), ("a/who", "Ada")][..], "Greet Ada"),
        (&[("kind", "resource"), ("name", "a://text")], "read a://text"),
        (&[("kind", "template"), ("name", "a://{id}/x"), ("a/id", "1 2")], "read a://1%202/x"),
    ] {
        let page = text(&browser.submit(PAGE, PAGE, &[fields, &[("do", "call")]].concat()).await);
        assert!(page.contains(expected), "{expected}: {page}");
    }
    // An address that a result names is read when somebody says so.
    let link = text(&browser.get(&format!("{PAGE}?resource=b%3A%2F%2Felsewhere")).await);
    assert!(link.contains("Read it") && link.contains("value=\"b://elsewhere\""), "{link}");
    platform.stop().await;
}

#[tokio::test]
async fn what_was_typed_is_kept_until_it_is_right() {
    let (platform, server) = Server::start().await;
    let browser = signed_in(&platform, &platform.owner).await;
    let post = async |fields: &[(&str, &str)]| {
        let all = [&[("kind", "tool"), ("name", "echo")], fields].concat();
        let answer = browser.submit(PAGE, PAGE, &all).await;
        (answer.status.as_u16(), text(&answer))
    };
    for (fields, status, words) in [
        (
            &[("a/count", "x"), ("a/message", "kept text"), ("do", "call")][..],
            422,
            &["whole number", "kept text", "value=\"x\""][..],
        ),
        (&[("a/count", "12"), ("a/message", "kept text"), ("do", "call")], 422, &["at most 9", "kept text"]),
        (&[("a/count", "1"), ("do", "call")], 422, &["this is needed"]),
        // To JSON and back.
        (
            &[("a/message", "kept text"), ("do", "raw")],
            200,
            &["name=\"json\"", "&quot;message&quot;: &quot;kept text&quot;"],
        ),
        (&[("a/count", "x"), ("do", "raw")], 422, &["whole number"]),
        (
            &[("json", "{\"message\":\"kept text\"}"), ("do", "form")],
            200,
            &["name=\"a/message\"", "kept text"],
        ),
        (
            &[("json", "{\"message\":\"m\",\"more\":1}"), ("do", "form")],
            422,
            &["name=\"json\"", "cannot show"],
        ),
        (&[("json", "{\"message\":\n"), ("do", "call")], 422, &["line 2", "name=\"json\""]),
        (&[("json", "[1]"), ("do", "call")], 422, &["an object"]),
        (
            &[("json", "{\"n\":123456789012345678901234567890}"), ("do", "call")],
            200,
            &["123456789012345678901234567890"],
        ),
    ] {
        let (found, page) = post(fields).await;
        let page = page.replace("&#34;", "&quot;");
        assert_eq!(found, status, "{fields:?}: {page}");
        for words in words {
            assert!(page.contains(words), "{fields:?}: {words}: {page}");
        }
    }
    assert!(server.texts().iter().any(|text| text.contains("123456789012345678901234567890")));
    assert_eq!(server.count("tools/call"), 1, "nothing else was sent");

    // What destroys asks for a tick.
    let wipe = [("kind", "tool"), ("name", "wipe"), ("do", "call")];
    let asked = browser.submit(PAGE, PAGE, &wipe).await;
    assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(&asked).contains("Tick this first") && text(&asked).contains("destructive"));
    assert_eq!(server.count("tools/call"), 1);
    let done = browser.submit(PAGE, PAGE, &[&wipe[..], &[("sure", "yes")]].concat()).await;
    assert_eq!((done.status, server.count("tools/call")), (StatusCode::OK, 2));
    // What is not listed is called as JSON, and the server says what it thinks of it.
    let page = text(
        &browser
            .submit(PAGE, PAGE, &[("kind", "tool"), ("name", "nothing"), ("json", "{}"), ("do", "call")])
            .await,
    );
    assert!(page.contains("no such tool") && page.contains("Code -32602"), "{page}");
    platform.stop().await;
}

#[tokio::test]
async fn it_is_a_call_like_any_other() {
    let (platform, server) = Server::start().await;
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let rule = json!({ "effect": "deny", "instance": "welcome", "what": "tool", "pattern": "echo", "subject": { "role": "viewer" } });
    let added = platform.post("/api/v1/rules", rule).await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.error());
    let fields = [("kind", "tool"), ("name", "echo"), ("a/message", "hi"), ("do", "call")];

    let browser = signed_in(&platform, &viewer).await;
    let called = browser.submit(PAGE, PAGE, &fields).await;
    assert_eq!(called.status, StatusCode::OK);
    // The shim is told of the rule, as it is with a token, and refuses.
    platform
        .send(
            Some(&viewer),
            Method::POST,
            "/mcp/default/welcome",
            Some(json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })),
        )
        .await;
    let told = server.header("tools/call", "berth-rule").unwrap();
    assert_eq!(Some(&told), server.header("ping", "berth-rule").as_ref());
    assert_eq!(server.header("tools/call", "berth-principal"), server.header("ping", "berth-principal"));
    assert!(text(&called).contains("is not available to this caller"), "{}", text(&called));
    assert!(text(&called).contains("A rule of this account keeps it from you"));
    assert_eq!(server.header("tools/call", "cookie"), None, "no server sees a cookie");

    // One line of the audit for each, with the session in the token's place.
    let account = platform.account("default").await;
    let deadline = std::time::Instant::now() + PATIENCE;
    let credential = loop {
        let wanted = Wanted { method: Some("tools/call"), limit: 10, ..Wanted::default() };
        let lines = store::calls::list(&platform.store, account, &wanted).await.unwrap();
        if let [(line, _)] = lines.as_slice() {
            break line.credential.clone().unwrap();
        }
        assert!(lines.is_empty() && std::time::Instant::now() < deadline, "{lines:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(credential.starts_with("session:"), "{credential}");

    // Who may not, may not.
    let count = server.count("tools/call");
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let other = signed_in(&platform, &stranger).await;
    let past = format!("{PAGE}/calls/{}", id_of(&text(&called)));
    for path in [
        PAGE.to_owned(),
        past.clone(),
        format!("{past}/result"),
        format!("{past}/app"),
        format!("{past}/part/0"),
    ] {
        assert_eq!(other.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let own = csrf(&other.get("/you").await);
    let answer = other.post(PAGE, &[&fields[..], &[("csrf", &own)]].concat()).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let there = "/a/other/instances/welcome/playground";
    assert_eq!(other.get(there).await.status, StatusCode::NOT_FOUND, "that account has no such instance");
    // Somebody else of the account has calls of their own.
    let owner = signed_in(&platform, &platform.owner).await;
    assert_eq!(owner.get(&past).await.status, StatusCode::NOT_FOUND);
    assert!(!text(&owner.get(PAGE).await).contains("Your last calls"));

    // Nothing is called without a form of ours.
    let csrf = csrf(&browser.get(PAGE).await);
    let bad: [(Pairs<'_>, Pairs<'_>, u16); 5] = [
        (&[], &[], 403),
        (&[("origin", "https://evil.example")], &[("csrf", &csrf)], 403),
        (&[("origin", &platform.url()), ("sec-fetch-site", "cross-site")], &[("csrf", &csrf)], 403),
        (&[("origin", &platform.url())], &[("csrf", "x")], 403),
        (&[("origin", &platform.url())], &[], 400),
    ];
    for (headers, further, expected) in bad {
        let answer = browser.send(Method::POST, PAGE, headers, Some(&[&fields[..], further].concat())).await;
        assert_eq!(answer.status.as_u16(), expected, "{headers:?} {further:?}");
    }
    let nobody = Browser::new(&platform);
    let turned = nobody.post(PAGE, &[&fields[..], &[("csrf", &csrf)]].concat()).await;
    assert_eq!((turned.status, location(&turned)), (StatusCode::SEE_OTHER, "/sign-in"));
    let turned = nobody.get(PAGE).await;
    assert_eq!(turned.status, StatusCode::SEE_OTHER);
    assert!(location(&turned).starts_with("/sign-in?next="), "{}", location(&turned));
    let query = format!("{PAGE}?kind=tool&name=echo&do=call&a%2Fmessage=x&csrf={csrf}");
    assert_eq!(browser.get(&query).await.status, StatusCode::OK);
    assert_eq!(server.count("tools/call"), count);
    platform.stop().await;
}

/// The id of the call that a page shows.
fn id_of(page: &str) -> String {
    let (_, after) = page.split_once("/playground/calls/").unwrap_or_else(|| panic!("no call: {page}"));
    after.split(['/', '"']).next().unwrap().to_owned()
}

#[tokio::test]
async fn results_are_shown_kept_and_downloaded() {
    let (platform, _server) = Server::start().await;
    let browser = signed_in(&platform, &platform.owner).await;
    let call = async |name: &str| {
        let answer = browser.submit(PAGE, PAGE, &[("kind", "tool"), ("name", name), ("do", "call")]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", text(&answer));
        answer
    };
    let mixed = call("mixed").await;
    let page = text(&mixed);
    for words in [
        &format!("<img src=\"data:image/png;base64,{TINY}\""),
        "<audio controls src=\"data:audio/wav;base64,",
        "Structured content",
        "123456789012345678901",
        "a://linked",
        "playground?resource=a%3A%2F%2Flinked",
        "application/zip",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let policy = mixed.headers["content-security-policy"].to_str().unwrap();
    for part in [
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src data:",
        "frame-src 'self'",
        "default-src 'none'",
    ] {
        assert!(policy.split("; ").any(|directive| directive == part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");

    let big = text(&call("big").await);
    let past = format!("{PAGE}/calls/{}", id_of(&big));
    assert!(big.contains("more are not shown here") && big.len() < 200_000, "{}", big.len());
    let file = browser.get(&format!("{past}/part/0")).await;
    assert_eq!((file.status, file.body.len()), (StatusCode::OK, 100_000));
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment; filename=\"part-0.txt\""),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(file.headers[name], value, "{name}");
    }
    assert!(file.headers["content-security-policy"].to_str().unwrap().starts_with("sandbox;"));
    let whole = browser.get(&format!("{past}/result")).await.json();
    assert_eq!(whole["result"]["content"][0]["text"].as_str().unwrap().len(), 100_000);
    let again = text(&browser.get(&past).await);
    assert!(again.contains("more are not shown here") && again.contains("value=\"big\""), "{again}");
    for nothing in ["part/1", "part/x", "app", "part/-1"] {
        let answer = browser.get(&format!("{past}/{nothing}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{nothing}");
    }

    // An app is HTML of the server's, in a place of its own.
    let app = text(&call("app").await);
    let past = format!("{PAGE}/calls/{}", id_of(&app));
    assert!(
        app.contains(&format!("<iframe class=\"app\" src=\"{past}/app\" sandbox=\"allow-scripts\"")),
        "{app}"
    );
    assert!(!app.contains("app-of-the-server"), "it is not in our page");
    let frame = browser.get(&format!("{past}/app")).await;
    assert!(text(&frame).contains("<script>/* app-of-the-server */</script>"));
    let policy = frame.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("sandbox allow-scripts; default-src 'none';"), "{policy}");
    assert!(!policy.contains("allow-same-origin") && policy.contains("frame-ancestors 'self'"), "{policy}");

    let failed = text(&call("fails").await);
    assert!(failed.contains("The tool says that it failed"), "{failed}");
    platform.stop().await;
}

#[tokio::test]
async fn what_a_server_asks_is_answered_by_hand() {
    let (platform, server) = Server::start().await;
    let browser = signed_in(&platform, &platform.owner).await;
    let asked = browser.submit(PAGE, PAGE, &[("kind", "tool"), ("name", "ask"), ("do", "call")]).await;
    let page = text(&asked);
    for words in [
        "The server asks",
        "Who are you?",
        "/name\"",
        "It wants you to open a page at",
        "pay.example:8443",
        "rel=\"noopener noreferrer\"",
        "Capital of France?",
        "It is told that there are none",
        "Give up",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    // In which order they are asked, the server's JSON library decides.
    let who = if page.contains("name=\"q0/name\"") { "q0" } else { "q3" };
    let (name, age) = (format!("{who}/name"), format!("{who}/age"));
    let hidden: Vec<(String, String)> = ["arguments", "requests", "state"]
        .map(|name| {
            let (_, after) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
            let value = after.split('"').next().unwrap();
            let value = value
                .replace("&#34;", "\"")
                .replace("&#38;", "&")
                .replace("&#60;", "<")
                .replace("&#62;", ">");
            (name.to_owned(), value)
        })
        .into();
    assert_eq!(hidden[2].1, "sealed \"state\"");
    let answer = async |fields: &[(&str, &str)]| {
        let hidden = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut all: Vec<(&str, &str)> = hidden.collect();
        all.extend_from_slice(&[("kind", "tool"), ("name", "ask"), ("do", "answer")]);
        all.extend_from_slice(fields);
        browser.submit(PAGE, PAGE, &all).await
    };
    let wrong = answer(&[(&age, "x"), ("q2.said", "Paris, kept")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let page = text(&wrong);
    for words in ["this is needed", "whole number", "Paris, kept", "The server asks"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(server.count("tools/call"), 1);
    let right = answer(&[(&name, "Ada"), ("q1.act", "decline"), ("q2.said", "Paris")]).await;
    assert!(text(&right).contains("thank you"), "{}", text(&right));
    let sent = server.last("tools/call");
    assert_eq!(sent["params"]["requestState"], "sealed \"state\"");
    let answers = &sent["params"]["inputResponses"];
    assert_eq!(answers["who"], json!({ "action": "accept", "content": { "name": "Ada" } }));
    assert_eq!(answers["pay"], json!({ "action": "decline" }));
    assert_eq!(answers["say"]["content"]["text"], "Paris");
    assert_eq!(answers["dirs"], json!({ "roots": [] }));
    // Where nobody has to answer, nobody is asked.
    let page =
        text(&browser.submit(PAGE, PAGE, &[("kind", "tool"), ("name", "roots"), ("do", "call")]).await);
    assert!(page.contains("there are no roots") && !page.contains("The server asks"), "{page}");
    platform.stop().await;
}

#[tokio::test]
async fn with_the_script_it_is_told_as_it_happens() {
    let (platform, server) = Server::start().await;
    let browser = signed_in(&platform, &platform.owner).await;
    let csrf = csrf(&browser.get(PAGE).await);
    let origin = platform.url();
    let stream = async |name: &str, further: &[(&str, &str)]| {
        let fields = [&[("kind", "tool"), ("name", name), ("do", "call"), ("csrf", &csrf)], further].concat();
        let headers =
            [("origin", origin.as_str()), ("accept", "text/event-stream"), ("accept-encoding", "gzip")];
        browser.send(Method::POST, PAGE, &headers, Some(&fields)).await
    };
    let answer = stream("steps", &[]).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(answer.headers.get("content-encoding"), None, "what is compressed is collected first");
    let events: Vec<Value> = text(&answer)
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let said: Vec<&str> = events.iter().filter_map(|event| event["said"].as_str()).collect();
    assert_eq!(said.len(), 3, "{events:#?}");
    assert!(said[0].contains("50 of 100: half") && said[0].contains("class=\"meter"), "{}", said[0]);
    assert!(said[1].contains("warning") && said[1].contains("log: &#60;b&#62;careful"), "{}", said[1]);
    let ended = events.last().unwrap()["ended"].as_str().unwrap();
    assert!(
        ended.contains("<pre tabindex=\"0\">done</pre>") && ended.contains("What it said meanwhile"),
        "{ended}"
    );
    assert!(ended.contains("name=\"csrf\"") || !ended.contains("<form"), "{ended}");

    // What is wrong with the form is a page.
    let wrong = stream("echo", &[("a/count", "x")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.headers["content-type"].to_str().unwrap().starts_with("text/html"));

    // Whoever leaves has cancelled.
    let cookie = format!("berth_session={}", browser.cookie("berth_session").unwrap());
    let body = format!("kind=tool&name=forever&do=call&csrf={csrf}");
    let request = http::Request::builder()
        .method(Method::POST)
        .uri(PAGE)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("cookie", cookie)
        .header("origin", &origin)
        .header("accept", "text/event-stream")
        .body(http_body_util::Full::new(bytes::Bytes::from(body)))
        .unwrap();
    let pool = hop::pool::Pool::new();
    let response = pool.send(&hop::address::Address::Tcp(platform.address), request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    tokio::time::timeout(PATIENCE, server.begun.notified()).await.expect("it was begun");
    drop(response);
    tokio::time::timeout(PATIENCE, server.dropped.notified()).await.expect("the server is told");
    platform.stop().await;
}

#[tokio::test]
async fn what_does_not_serve_says_why() {
    let (platform, _server) = Server::start().await;
    let browser = signed_in(&platform, &platform.owner).await;
    platform.post("/api/v1/instances/welcome/stop", json!({})).await;
    let page = browser.get(&format!("{PAGE}?tool=echo")).await;
    assert_eq!(page.status, StatusCode::OK);
    let page = text(&page);
    assert!(
        page.contains("<code>welcome</code> is stopped.")
            && page.contains("href=\"/a/default/instances/welcome\""),
        "{page}"
    );
    // What was typed while it was stopped is not lost.
    let fields = [("kind", "tool"), ("name", "echo"), ("a/message", "kept text"), ("do", "call")];
    let page = text(&browser.submit(PAGE, PAGE, &fields).await);
    assert!(page.contains("kept text") && page.contains("is stopped"), "{page}");
    let nothing = browser.get("/a/default/instances/nothing/playground").await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
    platform.stop().await;
}
