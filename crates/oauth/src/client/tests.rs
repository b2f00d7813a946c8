mod unattended;

use std::collections::BTreeMap;

use super::discovery::{Begin, Discovery, Next, Visit};
use super::exchange::Pending;
use super::grant::{Grant, NotRefreshed};
use super::identity::{Identity, Method, Profile};
use super::*;
use crate::challenge::Challenge;

const SERVER: &str = "https://mcp.example/a/mcp";
const REDIRECT: &str = "https://berth.example/oauth/upstream/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn begin() -> Begin {
    Begin {
        server: SERVER.to_owned(),
        challenge: Challenge::default(),
        profile: Some(Profile {
            name: "Berth".to_owned(),
            page: None,
            redirect_uri: REDIRECT.to_owned(),
            document: None,
        }),
        identities: Vec::new(),
        before: None,
        now: 1000,
        state: Secret::new("the-state"),
        verifier: Secret::new(VERIFIER),
    }
}

/// What each URL answers; anything else is a 404.
type World<'a> = BTreeMap<&'a str, (u16, String)>;

/// Follows a discovery through a world; also what was asked, in order.
fn follow(start: Begin, world: &World<'_>) -> (Vec<Request>, Result<Visit, Refusal>) {
    let (asked, end) = walk(start, world);
    let visit = end.map(|end| match end {
        Next::Visit(visit) => *visit,
        other => panic!("a person is asked: {other:?}"),
    });
    (asked, visit)
}

/// As [`follow`], to whatever end.
fn walk(start: Begin, world: &World<'_>) -> (Vec<Request>, Result<Next, Refusal>) {
    let mut asked = Vec::new();
    let (mut discovery, mut next) = match Discovery::begin(start) {
        Ok(begun) => begun,
        Err(refusal) => return (asked, Err(refusal)),
    };
    loop {
        let request = match next {
            Next::Send(request) => request,
            end => return (asked, Ok(end)),
        };
        asked.push(request.clone());
        let (status, body) = world.get(&*request.url).cloned().unwrap_or((404, String::new()));
        match discovery.answer(Ok(Answer { status, body: body.as_bytes() })) {
            Ok(then) => next = then,
            Err(refusal) => return (asked, Err(refusal)),
        }
    }
}

fn urls_of(asked: &[Request]) -> Vec<&str> {
    asked.iter().map(|request| request.url.as_str()).collect()
}

fn resource(issuer: &str) -> (u16, String) {
    (
        200,
        format!(r#"{{"resource":"{SERVER}","authorization_servers":["{issuer}"],"scopes_supported":["r"]}}"#),
    )
}

/// An authorization server; `more` begins with a comma.
fn server(issuer: &str, more: &str) -> (u16, String) {
    let text = format!(
        r#"{{"issuer":"{issuer}","authorization_endpoint":"{issuer}/authorize","token_endpoint":"{issuer}/token","code_challenge_methods_supported":["S256"]{more}}}"#
    );
    (200, text)
}

const PRM: &str = "https://mcp.example/.well-known/oauth-protected-resource/a/mcp";
const PRM_ROOT: &str = "https://mcp.example/.well-known/oauth-protected-resource";
const AS: &str = "https://as.example";
const META: &str = "https://as.example/.well-known/oauth-authorization-server";

fn parameters(url: &str) -> BTreeMap<String, String> {
    let (_, query) = url.split_once('?').unwrap();
    let all: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let map: BTreeMap<_, _> = all.iter().cloned().collect();
    assert_eq!(all.len(), map.len(), "a parameter is there twice: {url}");
    map
}

#[test]
fn documents_are_looked_for_in_order() {
    let registered = (201, r#"{"client_id":"c"}"#.to_owned());
    let with_registration =
        |issuer: &str| server(issuer, &format!(r#","registration_endpoint":"{issuer}/register""#));
    let tenant = "https://as.example/t/1";
    let check = |named: Option<&str>, world: &[(&str, (u16, String))], expected: &[&str]| {
        let world: World<'_> = world.iter().cloned().collect();
        let mut begin = begin();
        begin.challenge.resource_metadata = named.map(str::to_owned);
        let (asked, visit) = follow(begin, &world);
        assert_eq!(urls_of(&asked), expected);
        let visit = visit.unwrap();
        assert!(visit.url.starts_with("https://"), "{visit:?}");
    };
    let register = "https://as.example/register";
    // The challenge names the document.
    check(
        Some("https://mcp.example/elsewhere"),
        &[
            ("https://mcp.example/elsewhere", resource(AS)),
            (META, with_registration(AS)),
            (register, registered.clone()),
        ],
        &["https://mcp.example/elsewhere", META, register],
    );
    // It does not, or not truly: below the path, then at the root.
    check(
        Some("javascript:alert(1)"),
        &[(PRM_ROOT, resource(AS)), (META, with_registration(AS)), (register, registered.clone())],
        &[PRM, PRM_ROOT, META, register],
    );
    // A page in place of a document is none.
    check(
        None,
        &[
            (PRM, (200, "<html>".to_owned())),
            (PRM_ROOT, resource(AS)),
            ("https://as.example/.well-known/openid-configuration", with_registration(AS)),
            (register, registered.clone()),
        ],
        &[PRM, PRM_ROOT, META, "https://as.example/.well-known/openid-configuration", register],
    );
    // An issuer with a path.
    check(
        None,
        &[
            (PRM, resource(tenant)),
            ("https://as.example/t/1/.well-known/openid-configuration", with_registration(tenant)),
            ("https://as.example/t/1/register", registered.clone()),
        ],
        &[
            PRM,
            "https://as.example/.well-known/oauth-authorization-server/t/1",
            "https://as.example/.well-known/openid-configuration/t/1",
            "https://as.example/t/1/.well-known/openid-configuration",
            "https://as.example/t/1/register",
        ],
    );
    // A server of 2025-03-26, which has no document at all.
    check(
        None,
        &[("https://mcp.example/register", registered)],
        &[
            PRM,
            PRM_ROOT,
            "https://mcp.example/.well-known/oauth-authorization-server",
            "https://mcp.example/.well-known/openid-configuration",
            "https://mcp.example/register",
        ],
    );
}

#[test]
fn what_leads_nowhere_is_refused_with_the_step() {
    let check = |world: &[(&str, (u16, String))], step: Step, words: &str| {
        let world: World<'_> = world.iter().cloned().collect();
        let (asked, visit) = follow(begin(), &world);
        let refusal = visit.unwrap_err();
        assert_eq!(refusal.step, step, "{refusal}");
        assert!(refusal.to_string().contains(words), "{refusal}");
        assert!(!urls_of(&asked).iter().any(|url| url.contains("evil")), "{asked:?}");
    };
    let other =
        |resource: &str| (200, format!(r#"{{"resource":"{resource}","authorization_servers":["{AS}"]}}"#));
    check(&[(PRM, other("https://evil.example/a/mcp"))], Step::Resource, "evil.example");
    check(&[(PRM, other("https://mcp.example/a/mc"))], Step::Resource, "not this server");
    check(&[(PRM, other("https://mcp.example/a/mcp/more"))], Step::Resource, "not this server");
    check(&[(PRM, other("http://mcp.example/a/mcp"))], Step::Resource, "not this server");
    check(&[(PRM, resource("javascript:alert(1)"))], Step::Metadata, "no http:// or https:// URL");
    check(&[(PRM, resource(AS))], Step::Metadata, "no document");
    check(&[(PRM, resource(AS)), (META, server("https://evil.example", ""))], Step::Metadata, "evil.example");
    // Byte for byte.
    check(&[(PRM, resource(AS)), (META, server("https://as.example/", ""))], Step::Metadata, "as.example/");
    let (_, text) = server(AS, "");
    let without = text.replace("S256", "plain");
    check(&[(PRM, resource(AS)), (META, (200, without))], Step::Metadata, "PKCE");
    check(&[(PRM, resource(AS)), (META, server(AS, ""))], Step::Registration, "by hand");
    let register = server(AS, r#","registration_endpoint":"https://as.example/register""#);
    let refused = (400, r#"{"error":"invalid_redirect_uri","error_description":"no\u0007"}"#.to_owned());
    check(
        &[(PRM, resource(AS)), (META, register.clone()), ("https://as.example/register", refused)],
        Step::Registration,
        "invalid_redirect_uri: no)",
    );
    let odd = register
        .1
        .replace("\"code_", "\"token_endpoint_auth_methods_supported\":[\"tls_client_auth\"],\"code_");
    check(&[(PRM, resource(AS)), (META, (200, odd))], Step::Registration, "takes none of");
}

#[test]
fn who_berth_is_to_whom() {
    let registration = r#","registration_endpoint":"https://as.example/register""#;
    let documents = r#","registration_endpoint":"https://as.example/register","client_id_metadata_document_supported":true"#;
    let given = Identity::given(AS, "given", Some(Secret::new("s")));
    let elsewhere = Identity::given("https://other.example", "elsewhere", None);
    let before = |redirect: &str, expires_at| Identity {
        registered_for: Some(redirect.to_owned()),
        expires_at,
        ..Identity::given(AS, "before", None)
    };
    let document = "https://berth.example/oauth/client.json";
    let check = |more: &str, document: Option<&str>, identities: &[&Identity], expected: &str| {
        let registered = (201, r#"{"client_id":"now"}"#.to_owned());
        let world: World<'_> =
            [(PRM, resource(AS)), (META, server(AS, more)), ("https://as.example/register", registered)]
                .into();
        let mut begin = begin();
        begin.profile.as_mut().unwrap().document = document.map(str::to_owned);
        begin.identities = identities.iter().map(|&identity| identity.clone()).collect();
        let visit = follow(begin, &world).1.unwrap();
        assert_eq!(parameters(&visit.url)["client_id"], expected);
        assert_eq!(visit.pending.identity.issuer, AS);
    };
    check(documents, Some(document), &[&given], "given");
    check(documents, Some(document), &[&elsewhere, &before(REDIRECT, None)], document);
    check(documents, None, &[&elsewhere, &before(REDIRECT, None)], "before");
    check(registration, Some(document), &[&before(REDIRECT, Some(1001))], "before");
    check(registration, Some(document), &[&before(REDIRECT, Some(1000))], "now");
    check(registration, Some(document), &[&before("https://old.example/cb", None)], "now");
    check(registration, Some(document), &[&elsewhere], "now");
}

#[test]
fn a_registration_says_what_is_needed() {
    let more = r#","registration_endpoint":"https://as.example/register","token_endpoint_auth_methods_supported":["none","client_secret_post"]"#;
    let registered =
        (201, r#"{"client_id":"c","client_secret":"s","client_secret_expires_at":0}"#.to_owned());
    let world: World<'_> =
        [(PRM, resource(AS)), (META, server(AS, more)), ("https://as.example/register", registered)].into();
    let (asked, visit) = follow(begin(), &world);
    let Body::Json(body) = &asked.last().unwrap().body else { panic!("{asked:?}") };
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!({
        "client_name": "Berth",
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_post",
        "application_type": "web",
        "scope": "r",
    });
    assert_eq!(body, expected);
    let identity = visit.unwrap().pending.identity;
    assert_eq!((identity.method, identity.expires_at), (Some(Method::ClientSecretPost), None));
}

fn visit(more: &str, prepare: impl FnOnce(&mut Begin)) -> Visit {
    let world: World<'_> = [(PRM, resource(AS)), (META, server(AS, more))].into();
    let mut begin = begin();
    begin.identities = vec![Identity::given(AS, "c:1", Some(Secret::new("s/1")))];
    prepare(&mut begin);
    follow(begin, &world).1.unwrap()
}

#[test]
fn the_address_asks_for_what_is_needed() {
    let visit = visit(r#","scopes_supported":["offline_access"]"#, |begin| {
        begin.challenge.scope = Some("w".to_owned());
        begin.before = Some((AS.to_owned(), vec!["r".to_owned()]));
    });
    let expected = [
        ("client_id", "c:1"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("prompt", "consent"),
        ("redirect_uri", REDIRECT),
        ("resource", SERVER),
        ("response_type", "code"),
        ("scope", "r w offline_access"),
        ("state", "the-state"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(parameters(&visit.url), expected.into());
    assert!(!format!("{:?}", visit.pending).contains(VERIFIER));
}

#[test]
fn scopes_of_another_issuer_are_not_asked_for() {
    let visit =
        visit("", |begin| begin.before = Some(("https://old.example".to_owned(), vec!["x".to_owned()])));
    assert_eq!(parameters(&visit.url)["scope"], "r");
}

fn pending(says_issuer: bool) -> Pending {
    let more = format!(r#","authorization_response_iss_parameter_supported":{says_issuer}"#);
    visit(&more, |_| {}).pending
}

#[test]
fn answers_of_others_are_refused_before_anything_is_sent() {
    let check = |says_issuer: bool, query: &str, expected: Result<(), &str>| match (
        pending(says_issuer).returned(query),
        expected,
    ) {
        (Ok(_), Ok(())) => {}
        (Err(refusal), Err(words)) => assert!(refusal.to_string().contains(words), "{query}: {refusal}"),
        (found, _) => panic!("{query}: {found:?}"),
    };
    let good = "state=the-state&code=x";
    check(false, good, Ok(()));
    check(true, "state=the-state&code=x&iss=https%3A%2F%2Fas.example", Ok(()));
    check(false, "state=the-state&code=x&iss=https%3A%2F%2Fas.example", Ok(()));
    check(true, good, Err("does not say whose it is"));
    check(true, "state=the-state&code=x&iss=https%3A%2F%2Fas.example%2F", Err("as.example/"));
    check(false, "state=the-state&code=x&iss=https%3A%2F%2Fevil.example", Err("evil.example"));
    check(false, "state=the-state&code=x&iss=", Err("which was asked"));
    check(false, "state=other&code=x", Err("another request"));
    check(false, "code=x", Err("another request"));
    check(false, "state=the-state&state=other&code=x", Err("more than once"));
    check(false, "state=the-state&code=x&code=y", Err("more than once"));
    check(false, "state=the-state", Err("neither a code nor an error"));
    check(false, "state=the-state&code=", Err("neither a code nor an error"));
    check(false, "state=the-state&error=access_denied&code=x", Err("access was refused"));
    check(
        false,
        "state=the-state&error=server_error&error_description=%07oops",
        Err("`server_error` (oops)"),
    );
    // Another server's words are not repeated.
    check(true, "state=the-state&error=x&iss=https%3A%2F%2Fevil.example", Err("evil.example's"));
}

fn form_of(request: &Request) -> BTreeMap<String, String> {
    let Body::Form(form) = &request.body else { panic!("{request:?}") };
    parameters(&format!("?{}", form.expose()))
}

#[test]
fn the_code_is_changed_with_the_verifier_and_by_the_right_method() {
    let check = |methods: &str, expected: (Option<&str>, &[(&str, &str)])| {
        let pending =
            visit(&format!(r#","token_endpoint_auth_methods_supported":[{methods}]"#), |_| {}).pending;
        // It is kept meanwhile.
        let kept = serde_json::to_string(&pending).unwrap();
        let pending: Pending = serde_json::from_str(&kept).unwrap();
        let request = pending.returned("state=the-state&code=x%26y").unwrap();
        assert_eq!(request.url, "https://as.example/token");
        assert_eq!(request.authorization.as_ref().map(Secret::expose), expected.0);
        let common = [
            ("grant_type", "authorization_code"),
            ("code", "x&y"),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
            ("resource", SERVER),
            ("client_id", "c:1"),
        ];
        let expected =
            common.iter().chain(expected.1).map(|&(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(form_of(&request), expected.collect());
        assert!(!format!("{request:?}").contains(VERIFIER), "{request:?}");
    };
    // `c:1` and `s/1` are written as in a form first (RFC 6749 §2.3.1).
    let basic = "Basic YyUzQTE6cyUyRjE=";
    check("", (Some(basic), &[]));
    check(r#""client_secret_post","client_secret_basic""#, (Some(basic), &[]));
    check(r#""client_secret_post""#, (None, &[("client_secret", "s/1")]));
    check(r#""none""#, (None, &[]));
}

fn take(status: u16, body: &str) -> Result<Grant, Refusal> {
    pending(false).take(Answer { status, body: body.as_bytes() })
}

#[test]
fn tokens_and_what_is_none() {
    let grant = take(
        200,
        r#"{"access_token":"t1","token_type":"bearer","expires_in":"60","refresh_token":"r1","scope":"r x"}"#,
    );
    let grant = grant.unwrap();
    assert_eq!((grant.access.expose(), grant.lifetime), ("t1", Some(60)));
    assert_eq!((grant.scopes.join(" ").as_str(), grant.granted.join(" ").as_str()), ("r", "r x"));
    let kept: Grant = serde_json::from_str(&serde_json::to_string(&grant).unwrap()).unwrap();
    assert_eq!(kept, grant);
    assert!(!format!("{grant:?}").contains("t1") && !format!("{grant:?}").contains("r1"));
    let check = |status: u16, body: &str, words: &str| {
        let refusal = take(status, body).unwrap_err();
        assert_eq!(refusal.step, Step::Token);
        assert!(refusal.to_string().contains(words), "{refusal}");
        assert!(!refusal.to_string().contains("t1"), "{refusal}");
    };
    check(400, r#"{"error":"invalid_grant"}"#, "invalid_grant");
    check(500, "<html>", "status 500");
    check(200, r#"{"access_token":"t1"}"#, "missing or wrong");
    check(200, r#"{"access_token":"t1","token_type":"DPoP"}"#, "`DPoP`");
    check(200, "{\"access_token\":\"t1\\n\",\"token_type\":\"Bearer\"}", "header");
    check(200, r#"{"access_token":"","token_type":"Bearer"}"#, "header");
    check(200, "", "cut off");
}

#[test]
fn refreshing() {
    let first = take(200, r#"{"access_token":"t1","token_type":"Bearer","refresh_token":"r1"}"#).unwrap();
    let request = first.refresh().unwrap();
    let expected = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "r1"),
        ("resource", SERVER),
        ("client_id", "c:1"),
    ];
    assert_eq!(form_of(&request), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let next = |status: u16, body: &str| first.refreshed(Ok(Answer { status, body: body.as_bytes() }));
    let same = next(200, r#"{"access_token":"t2","token_type":"Bearer"}"#).unwrap();
    assert_eq!((same.access.expose(), same.refresh.as_ref().map(Secret::expose)), ("t2", Some("r1")));
    let rotated = next(200, r#"{"access_token":"t2","token_type":"Bearer","refresh_token":"r2"}"#).unwrap();
    assert_eq!(rotated.refresh.as_ref().map(Secret::expose), Some("r2"));
    let is_over = |outcome| matches!(outcome, Err(NotRefreshed::Over(_)));
    assert!(is_over(next(400, r#"{"error":"invalid_grant"}"#)));
    assert!(is_over(next(401, r#"{"error":"invalid_client"}"#)));
    for (status, body) in
        [(503, ""), (500, r#"{"error":"x"}"#), (429, r#"{"error":"x"}"#), (404, "<html>"), (200, "{}")]
    {
        assert!(matches!(next(status, body), Err(NotRefreshed::Later(_))), "{status} {body}");
    }
    assert!(matches!(first.refreshed(Err("no route")), Err(NotRefreshed::Later(_))));
    let none = take(200, r#"{"access_token":"t1","token_type":"Bearer"}"#).unwrap();
    assert_eq!(none.refresh(), None);
}
