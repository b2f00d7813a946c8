//! Rules from the command line to the server: who may not use a tool neither sees nor calls it.

use std::process::Command;

use serde_json::Value;
use testkit::platform::Platform;

use crate::BERTH;

const SECRET: &str = "super-secret-jwt-token-with-at-least-32-characters";
const PROJECT: &str = "https://abc.supabase.co";

/// The token of somebody who signed in at Supabase.
fn jwt(subject: &str) -> String {
    let script = format!(
        r#"
import base64, hashlib, hmac, json, time
part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=")
now = int(time.time())
claims = {{"iss": "{PROJECT}/auth/v1", "sub": "{subject}", "aud": "authenticated", "exp": now + 3600, "iat": now,
          "email": "{subject}@example.com", "role": "authenticated", "is_anonymous": False}}
text = part(b'{{"alg":"HS256","typ":"JWT"}}') + b"." + part(json.dumps(claims).encode())
print((text + b"." + part(hmac.new(b"{SECRET}", text, hashlib.sha256).digest())).decode())
"#
    );
    let output = Command::new("python3").args(["-c", &script]).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn a_member_neither_sees_nor_calls_what_is_denied_and_an_admin_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, SECRET).expect("it is written");
    let secret = secret.to_str().expect("text");
    let platform = Platform::start_with(
        BERTH,
        &["--supabase-url", PROJECT, "--supabase-jwt-secret-file", secret, "--supabase-account", "default"],
    );
    let (member, admin) = (jwt("ada"), platform.token().to_owned());
    let run = |token: &str, arguments: &[&str]| {
        let output = platform.command(arguments).env("BERTH_TOKEN", token).output().expect("`berth` starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let tools = |token: &str| -> Vec<String> {
        let (code, said) = run(token, &["tools", "welcome", "--json"]);
        assert_eq!(code, Some(0), "{said}");
        let tools: Value = serde_json::from_str(&said).expect("JSON");
        tools
            .as_array()
            .expect("a list")
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let call = ["call", "welcome", "echo", r#"{"message":"hi"}"#];
    let all = ["add", "ask", "echo", "progress"];
    // Both are known before there is a rule.
    for token in [&member, &admin] {
        assert_eq!(tools(token), all);
        assert_eq!(run(token, &call).0, Some(0));
    }
    let refused = run(&member, &["rule", "add", "deny", "welcome"]);
    assert!(refused.0 == Some(1) && refused.1.contains("`admin`"), "{refused:?}");

    let made: Value = serde_json::from_str(&platform.ok(&[
        "rule",
        "add",
        "deny",
        "welcome/ec*",
        "--role",
        "member",
        "--json",
    ]))
    .expect("JSON");
    assert_eq!(tools(&member), ["add", "ask", "progress"]);
    assert_eq!(tools(&admin), all);
    let (code, said) = run(&member, &call);
    assert!(code == Some(1) && said.contains("the tool `echo` is not available to this caller"), "{said}");
    assert_eq!(run(&admin, &call).0, Some(0));
    let listed = platform.ok(&["rule", "list"]);
    assert!(listed.contains("deny welcome/ec*") && listed.contains("role member"), "{listed}");

    // What tools say of themselves, for one token; all of these change nothing.
    let robot = platform.ok(&["token", "create", "robot"]).trim().to_owned();
    platform.ok(&["rule", "add", "deny", "*", "--destructive"]);
    assert_eq!((run(&robot, &call).0, tools(&robot).len()), (Some(0), 4));
    platform.ok(&["rule", "add", "deny", "*/e*", "--read-only", "--api-token", "robot"]);
    let (code, said) = run(&robot, &call);
    assert!(code == Some(1) && said.contains("is not available to this caller"), "{said}");
    assert_eq!((tools(&robot).len(), tools(&admin).len()), (3, 4));
    // One that no server lists may do anything, for all that is known.
    let (_, said) = run(&robot, &["call", "welcome", "nothing"]);
    assert!(said.contains("is not available to this caller"), "{said}");

    platform.ok(&["rule", "remove", made["id"].as_str().expect("an id")]);
    assert_eq!(tools(&member), all);
    assert_eq!(run(&member, &call).0, Some(0));
    for (arguments, words) in [
        (&["rule", "add", "deny", "welcome/"][..], "names are missing"),
        (&["rule", "add", "deny", "Not A Name"], "INSTANCE[/PATTERN]"),
        (&["rule", "add", "deny", "x", "--role", "member", "--user", "ada"], "cannot be used with"),
        (&["rule", "add", "deny", "x", "--prompt", "--destructive"], "cannot be used with"),
        (&["rule", "add", "deny", "x", "--user", "nobody"], "nobody in this account is `nobody`"),
        (&["rule", "add", "deny", "x", "--api-token", "nobody"], "no valid token"),
        (&["rule", "remove", "x"], "there is no rule `x`"),
    ] {
        let (code, said) = run(&admin, arguments);
        assert!(code != Some(0) && said.contains(words), "{arguments:?}: {said}");
    }
}
