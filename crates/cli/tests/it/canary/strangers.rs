//! What is seen without the command line: pages, the answers of the API and of the authorization server, and the engine's own words.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::docker::Docker;
use testkit::platform::Platform;

use super::{CANARIES, clean};

pub(super) const PASSWORD: &str = "correct horse battery staple";
const CALLBACK: &str = "http://127.0.0.1:33418/callback";
/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// More pages than there are links on a small platform: a crawl that comes to it goes round in circles.
const MOST_PAGES: usize = 400;

/// Whoever asks over HTTP, with a jar for cookies. No answer is read before it was found clean.
pub(super) struct Stranger<'a> {
    platform: &'a Platform,
    jar: tempfile::NamedTempFile,
}

/// Head and body of an answer, as they came.
pub(super) struct Answer(String);

impl Answer {
    fn status(&self) -> u16 {
        self.0
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("{}", self.0))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let (head, _) = self.0.split_once("\r\n\r\n")?;
        let line = |line: &'_ str| -> Option<(usize, bool)> {
            let (of, _) = line.split_once(':')?;
            Some((of.len() + 1, of.eq_ignore_ascii_case(name)))
        };
        head.lines().find_map(|text| line(text).filter(|(_, is)| *is).map(|(at, _)| text[at..].trim()))
    }

    fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").expect("a body").1
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(self.body()).unwrap_or_else(|error| panic!("{error}: {}", self.0))
    }
}

impl<'a> Stranger<'a> {
    pub(super) fn new(platform: &'a Platform) -> Self {
        Self { platform, jar: tempfile::NamedTempFile::new().unwrap() }
    }

    #[track_caller]
    fn ask(&self, path: &str, more: &[&str]) -> Answer {
        let mut curl = Command::new("curl");
        // What goes on until somebody ends it is looked at for as long.
        curl.args(["-sS", "-i", "--max-time", "10", "-H", &format!("Origin: {}", self.platform.url()), "-b"]);
        curl.arg(self.jar.path()).arg("-c").arg(self.jar.path()).args(more);
        let output = curl.arg(format!("{}{path}", self.platform.url())).output().unwrap();
        assert!(
            output.status.success() || output.status.code() == Some(28),
            "{path}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        clean(&format!("the answer of {path}"), &output.stdout);
        Answer(String::from_utf8(output.stdout).unwrap())
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        self.ask(path, &[])
    }

    #[track_caller]
    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let more: Vec<&str> = fields.iter().flat_map(|field| ["--data-urlencode", field]).collect();
        self.ask(path, &more)
    }

    fn cookies(&self) -> String {
        std::fs::read_to_string(self.jar.path()).unwrap()
    }
}

/// The values of an attribute in a page.
fn attributes<'a>(page: &'a str, name: &str) -> impl Iterator<Item = String> + 'a {
    let before = format!(" {name}=\"");
    let parts: Vec<&str> = page.split(&before).skip(1).collect();
    parts
        .into_iter()
        .filter_map(|part| Some(part.split_once('"')?.0.replace("&amp;", "&").replace("&#38;", "&")))
}

fn csrf(page: &Answer) -> String {
    let (_, after) = page.body().split_once("name=\"csrf\" value=\"").expect("a form");
    after.split('"').next().expect("a value").to_owned()
}

/// Every page that links lead to, signed in. So it looks at pages that are made later, too.
pub(super) fn pages(stranger: &Stranger<'_>) {
    stranger.get("/you");
    let form = [("login", "admin"), ("password", PASSWORD)];
    assert_eq!(stranger.post("/sign-in", &form).status(), 303);
    let mut open: VecDeque<String> = ["/", "/you", "/device", "/sign-in", "/nothing"].map(Into::into).into();
    let mut seen: BTreeSet<String> = open.iter().cloned().collect();
    let mut shown = BTreeSet::new();
    while let Some(path) = open.pop_front() {
        let page = stranger.get(&path);
        if page.status() == 200
            && page.header("content-type").is_some_and(|kind| kind.starts_with("text/html"))
        {
            shown.insert(path.clone());
        }
        let onward = page.header("location").map(ToOwned::to_owned);
        for link in
            onward.into_iter().chain(attributes(page.body(), "href")).chain(attributes(page.body(), "src"))
        {
            let link = link.split('#').next().unwrap_or_default();
            let link = link.strip_prefix(stranger.platform.url()).unwrap_or(link);
            if link.starts_with('/') && !link.starts_with("//") && seen.insert(link.to_owned()) {
                open.push_back(link.to_owned());
            }
        }
        assert!(seen.len() < MOST_PAGES, "{seen:?}");
    }
    assert!(shown.contains("/you"), "it was signed in: {shown:?}");
}

/// Every address of the API that can be read, as the document of the API names them.
pub(super) fn api(stranger: &Stranger<'_>, instances: &[&str]) {
    let authorization = format!("Authorization: Bearer {}", stranger.platform.token());
    let document = stranger.get("/api/openapi.json").json();
    let mut read = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        // A host agent's own way stays open.
        if methods.get("get").is_none() || path.ends_with("/tunnel") {
            continue;
        }
        let of = if path.contains("/environments/") { &["local"][..] } else { instances };
        for name in of {
            let mut path = path.clone();
            while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
                path.replace_range(from..=to, name);
            }
            let answer = stranger.ask(&path, &["-H", &authorization]);
            assert!(answer.status() != 401, "{path}");
            read += u32::from(answer.status() == 200);
        }
    }
    assert!(20 < read, "answers were looked at: {read}");
    for path in ["/metrics", "/healthz", "/readyz", "/api/v1/nothing"] {
        stranger.ask(path, &["-H", &authorization]);
    }
}

/// The authorization server, asked rightly and wrongly. What it gave out, which is good for something and so is in no file.
#[expect(clippy::too_many_lines, reason = "one way through all answers, step by step")]
pub(super) fn oauth(stranger: &Stranger<'_>, instance: &str) -> Vec<String> {
    let [literal, old, new, _] = CANARIES;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp/default/boxed",
        "/oauth/keys",
    ] {
        stranger.get(path);
    }
    let registration = r#"{"client_name":"Canary","redirect_uris":["http://127.0.0.1/callback"],"token_endpoint_auth_method":"client_secret_post"}"#;
    let json = ["-H", "content-type: application/json", "-d"];
    let made = stranger.ask("/oauth/register", &[&json[..], &[registration]].concat());
    assert_eq!(made.status(), 201, "{}", made.0);
    let made = made.json();
    let (client, secret) = (made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let wrong = format!(r#"{{"client_name":1,"client_secret":"{literal}","{old}":"{new}"}}"#);
    assert_eq!(stranger.ask("/oauth/register", &[&json[..], &[&wrong]].concat()).status(), 400);

    let query = format!(
        "response_type=code&client_id={client}&redirect_uri=http%3A%2F%2F127.0.0.1%3A33418%2Fcallback\
         &code_challenge={CHALLENGE}&code_challenge_method=S256&state=s&resource={}",
        stranger.platform.mcp_url(instance)
    );
    let path = format!("/oauth/authorize?{query}");
    let page = stranger.get(&path);
    assert!(page.status() == 200 && page.body().contains("Canary"), "the consent page: {}", page.0);
    stranger.get(&path.replace("S256", "plain"));
    stranger.get(&path.replace(client, "nobody"));
    let decide = |decision: &str| {
        let csrf = csrf(&stranger.get(&path));
        let answer = stranger
            .post("/oauth/authorize", &[("csrf", &csrf), ("request", &query), ("decision", decision)]);
        assert_eq!(answer.status(), 303, "{}", answer.0);
        answer.header("location").expect("a place").to_owned()
    };
    assert!(decide("refuse").contains("error=access_denied"));
    let place = decide("allow");
    let (_, code) = place.split_once("code=").expect("a code");
    let code = code.split('&').next().unwrap().to_owned();

    let of_client = [("client_id", client), ("client_secret", secret)];
    let token = |fields: &[(&str, &str)]| stranger.post("/oauth/token", fields);
    // Whatever somebody shows is not repeated in the refusal.
    for fields in [
        &[
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("client_secret", literal),
            ("code", old),
        ][..],
        &[
            ("grant_type", "authorization_code"),
            ("code", literal),
            ("code_verifier", old),
            of_client[0],
            of_client[1],
        ],
        &[("grant_type", "refresh_token"), ("refresh_token", new), of_client[0], of_client[1]],
        &[("grant_type", "client_credentials"), ("client_id", literal), ("client_secret", new)],
        &[
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", literal),
            of_client[0],
            of_client[1],
        ],
        &[("grant_type", literal), of_client[0], of_client[1]],
    ] {
        let answer = token(fields);
        assert!((400..402).contains(&answer.status()), "{}", answer.0);
    }
    let given = token(&[
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
        of_client[0],
        of_client[1],
    ]);
    assert_eq!(given.status(), 200, "{}", given.0);
    let given = given.json();
    let (access, refresh) =
        (given["access_token"].as_str().unwrap(), given["refresh_token"].as_str().unwrap());
    for shown in [access, refresh, literal] {
        let answer = stranger.post("/oauth/introspect", &[("token", shown), of_client[0], of_client[1]]);
        assert_eq!(answer.json()["active"], shown != literal, "{}", answer.0);
    }
    stranger.post("/oauth/introspect", &[("token", literal)]);
    stranger.post("/oauth/device", &of_client);
    let mcp = stranger.platform.mcp_url(instance);
    let mcp = mcp.strip_prefix(stranger.platform.url()).unwrap();
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}"#;
    for bearer in [access, literal] {
        let authorization = format!("Authorization: Bearer {bearer}");
        let more = [
            "-H",
            &authorization,
            "-H",
            "accept: application/json, text/event-stream",
            json[0],
            json[1],
            json[2],
            list,
        ];
        let answer = stranger.ask(mcp, &more);
        assert_eq!(answer.status(), if bearer == access { 200 } else { 401 }, "{}", answer.0);
    }
    assert_eq!(
        stranger.post("/oauth/revoke", &[("token", refresh), of_client[0], of_client[1]]).status(),
        200
    );
    let cookie = stranger.cookies();
    let cookie = cookie.lines().rev().find_map(|line| line.split('\t').nth(6)).expect("a session's cookie");
    [secret, &code, access, refresh, cookie].map(ToOwned::to_owned).into()
}

/// What the engine tells of an instance's container, and of everything that it keeps.
pub(super) fn engine(docker: &Docker, container: &str) {
    let path = format!("/containers/{container}/json");
    let found = docker.get(&path).expect("the container");
    assert_eq!(found["State"]["Running"], true, "{found}");
    let inspect = |path: &str| {
        let shown = docker.get(path).unwrap_or_else(|| panic!("{path}"));
        clean(&format!("the engine's {path}"), shown.to_string().as_bytes());
    };
    inspect(&path);
    inspect("/containers/json?all=1");
    inspect(&format!("/containers/{container}/top"));
    inspect(&format!("/containers/{container}/changes"));
    let image = found["Image"].as_str().expect("an image");
    inspect(&format!("/images/{image}/json"));
    inspect(&format!("/images/{image}/history"));
    inspect("/images/json");
    inspect("/networks");
    inspect("/volumes");
    inspect("/info");
    let init = found["State"]["Pid"].as_u64().expect("a process");
    for file in ["cmdline", "environ"] {
        let proc = Path::new("/proc").join(init.to_string()).join(file);
        clean(&format!("{file} of the container's first process"), &std::fs::read(proc).unwrap());
    }
}
