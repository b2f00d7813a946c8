//! The playground with real servers of both eras, from a browser without a script.

mod script;

use testkit::platform::Platform;

use crate::BERTH;
use crate::conformance::fixture;
use crate::people::Browser;

/// Somebody who is signed in, at the playground of an instance.
struct Player {
    browser: Browser,
    path: String,
}

impl Player {
    fn new(platform: &Platform, instance: &str) -> Self {
        let browser = Browser::new(platform);
        let recovered = platform.json(&["recover"]);
        let link = recovered["link"].as_str().expect("a link");
        assert!(browser.ask(link, &[("x", "y")]).0 < 400, "the link signs in");
        Self { browser, path: format!("/a/default/instances/{instance}/playground") }
    }

    /// The page after a form.
    #[track_caller]
    fn sent(&self, fields: &[(&str, &str)]) -> String {
        let (status, page) = self.browser.path(&self.path, &[]);
        assert_eq!(status, 200, "{page}");
        let csrf = after(&page, "name=\"csrf\" value=\"");
        let (status, page) = self.browser.path(&self.path, &[fields, &[("csrf", &csrf)]].concat());
        assert_eq!(status, 200, "{fields:?}: {page}");
        page
    }

    #[track_caller]
    fn call(&self, tool: &str, arguments: &[(&str, &str)]) -> String {
        self.sent(&[&[("kind", "tool"), ("name", tool), ("do", "call")], arguments].concat())
    }

    /// Answers what a page asks.
    #[track_caller]
    fn answer(&self, page: &str, fields: &[(&str, &str)]) -> String {
        let form =
            page.split_once("class=\"card asks\"").unwrap_or_else(|| panic!("nothing is asked: {page}")).1;
        // A server that is asked again with everything needs no state.
        let there = ["name", "arguments", "requests", "state"];
        let there = there.into_iter().filter(|name| form.contains(&format!("name=\"{name}\" value=")));
        let hidden: Vec<(&str, String)> =
            there.map(|name| (name, plain(&after(form, &format!("name=\"{name}\" value=\""))))).collect();
        let hidden: Vec<(&str, &str)> = hidden.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.sent(&[&hidden, &[("kind", "tool"), ("do", "answer")][..], fields].concat())
    }
}

fn after(page: &str, words: &str) -> String {
    let (_, after) = page.split_once(words).unwrap_or_else(|| panic!("{words} is missing: {page}"));
    after.split('"').next().unwrap_or_default().to_owned()
}

fn plain(text: &str) -> String {
    text.replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#38;", "&")
}

#[track_caller]
fn has(page: &str, words: &[&str]) {
    for words in words {
        assert!(page.contains(words), "{words} is missing: {page}");
    }
}

#[test]
fn servers_of_both_eras_are_called_by_hand() {
    let platform = Platform::start(BERTH);
    let server = format!("file:{}", fixture().display());
    for era in ["legacy", "modern"] {
        platform.ok(&["deploy", &server, "--name", era, "--wait", "--arg=--era", "--arg", era]);
        let player = Player::new(&platform, era);
        has(
            &player.browser.path(&player.path, &[]).1,
            &["test_image_content", "test_simple_prompt", "test://static-text"],
        );

        has(
            &player.call("echo", &[("a/message", "hi <b>you</b>")]),
            &["<pre tabindex=\"0\">hi &#60;b&#62;you&#60;/b&#62;</pre>"],
        );
        has(&player.call("test_image_content", &[]), &["<img src=\"data:image/png;base64,iVBOR"]);
        has(&player.call("test_audio_content", &[]), &["<audio controls src=\"data:audio/wav;base64,UklGR"]);
        has(
            &player.call("test_multiple_content_types", &[]),
            &["<img src=", "test://mixed-content-resource", "application/json"],
        );
        has(
            &player.call("test_error_handling", &[]),
            &["The tool says that it failed", "intentionally returns an error"],
        );
        has(
            &player.call("test_tool_with_progress", &[]),
            &["What it said meanwhile", "50 of 100", "Progress: 50 %"],
        );
        has(&player.call("test_tool_with_logging", &[]), &["Tool processing data", ">info<"]);
        has(&player.call("test_header_parameter", &[("a/region", "ä b")]), &["simple text response"]);
        has(
            &player.call("json_schema_2020_12_tool", &[("a/address/city", "X"), ("a/phone", "1")]),
            &["simple text response"],
        );

        has(
            &player.sent(&[
                ("kind", "prompt"),
                ("name", "test_prompt_with_arguments"),
                ("a/arg1", "x1"),
                ("a/arg2", "y2"),
                ("do", "call"),
            ]),
            &["x1", "y2"],
        );
        has(
            &player.sent(&[("kind", "resource"), ("name", "test://static-text"), ("do", "call")]),
            &["test://static-text", "text/plain"],
        );
        has(
            &player.sent(&[
                ("kind", "template"),
                ("name", "test://template/{id}/data"),
                ("a/id", "42"),
                ("do", "call"),
            ]),
            &["test://template/42/data"],
        );

        // What it asks: a form, a model, with defaults of every kind.
        let asked = player.call("test_elicitation", &[("a/message", "Who is it?")]);
        has(&asked, &["The server asks", "Who is it?", "email address"]);
        let said = player.answer(&asked, &[("q0/username", "ada"), ("q0/email", "a@b.example")]);
        has(&plain(&said), &["action=accept", "\"username\":\"ada\""]);
        let asked = player.call("test_elicitation", &[("a/message", "Who?")]);
        has(&player.answer(&asked, &[("q0.act", "decline")]), &["action=decline"]);
        let asked = player.call("test_elicitation_sep1034_defaults", &[]);
        has(&asked, &["John Doe", "95.5", "name=\"q0/age\" type=\"number\""]);
        let defaults = [
            ("q0/name", "John Doe"),
            ("q0/age", "30"),
            ("q0/score", "95.5"),
            ("q0/status", "\"active\""),
            ("q0/verified", "true"),
        ];
        has(&plain(&player.answer(&asked, &defaults)), &["\"age\":30", "\"verified\":true"]);
        let asked = player.call("test_sampling", &[("a/prompt", "Capital of France?")]);
        has(&asked, &["Here you are the model", "Capital of France?"]);
        has(&player.answer(&asked, &[("q0.said", "Paris it is")]), &["LLM response: Paris it is"]);
        let first = player.call("test_input_required_result_multi_round", &[]);
        let second = player.answer(&first, &[("q0/name", "Ada")]);
        has(&second, &["favorite color"]);
        has(&player.answer(&second, &[("q0/color", "blue")]), &["Ada likes blue."]);
        has(&player.call("test_input_required_result_list_roots", &[]), &["roots"]);

        // What a rule denies is neither shown nor called, here as elsewhere.
        let made = platform.json(&["rule", "add", "deny", &format!("{era}/echo"), "--role", "owner"]);
        let page = player.browser.path(&player.path, &[]).1;
        assert!(!page.contains("?tool=echo\""), "{page}");
        let refused = player.sent(&[
            ("kind", "tool"),
            ("name", "echo"),
            ("json", r#"{"message":"hi"}"#),
            ("do", "call"),
        ]);
        has(&refused, &["is not available to this caller", "A rule of this account"]);
        platform.ok(&["rule", "remove", made["id"].as_str().expect("an id")]);
        has(&player.call("echo", &[("a/message", "again")]), &[">again<"]);
    }
}

#[test]
fn the_lines_for_a_shell_do_what_they_say() {
    let platform = Platform::start(BERTH);
    let player = Player::new(&platform, "welcome");
    let page = player.call("echo", &[("a/message", "it's \"$HOME\" \\ ü")]);
    has(&plain(&page), &["it's \"$HOME\" \\ ü"]);
    let line = |id: &str| {
        let (_, after) = page.split_once(&format!("<pre id=\"{id}\" tabindex=\"0\">")).expect("a line");
        plain(after.split("</pre>").next().unwrap_or_default())
    };
    let path = std::path::Path::new(BERTH).parent().expect("a directory");
    let path = format!("{}:{}", path.display(), std::env::var("PATH").unwrap_or_default());
    for id in ["as-berth", "as-curl"] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &line(id)]).env("PATH", &path);
        let output = shell
            .env("BERTH_URL", platform.url())
            .env("BERTH_TOKEN", platform.token())
            .output()
            .expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout).replace("\\\"", "\"").replace("\\\\", "\\");
        assert!(output.status.success() && said.contains("it's \"$HOME\" \\ ü"), "{id}: {output:?}");
    }
}
