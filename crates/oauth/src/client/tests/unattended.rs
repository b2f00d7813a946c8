//! Tokens without a person.

use super::*;
use crate::client::unattended::{Basis, Found, Provider};

const ISSUER: &str = "https://as.example";
const METADATA: &str = "https://as.example/.well-known/oauth-authorization-server";

/// Where the documents of a world lead when nobody is to be asked.
fn found(metadata: &str) -> Result<Found, Refusal> {
    let world = World::from([(PRM, resource(ISSUER)), (METADATA, (200, metadata.to_owned()))]);
    let start = Begin { profile: None, ..begin() };
    match walk(start, &world).1? {
        Next::Ask(found) => Ok(*found),
        other => panic!("nobody is asked: {other:?}"),
    }
}

/// Of a server that asks no person, and so has no place for one and no PKCE.
fn plain(methods: &str) -> String {
    format!(
        r#"{{"issuer":"{ISSUER}","token_endpoint":"{ISSUER}/token","token_endpoint_auth_methods_supported":[{methods}]}}"#
    )
}

fn form(request: &Request) -> String {
    let Body::Form(form) = &request.body else { panic!("a form: {request:?}") };
    form.expose().to_owned()
}

#[test]
fn berth_asks_for_itself() {
    let secret = Some(Secret::new("s:e"));
    let check = |methods: &str, proof: Option<&str>, authorization: Option<&str>, rest: &str| {
        let found = found(&plain(methods)).unwrap();
        let identity = Identity::given(ISSUER, "me", secret.clone());
        let proof = proof.map(Secret::new);
        let request = found.ask(&identity, Basis::Client, proof.as_ref()).unwrap();
        assert_eq!(request.url, format!("{ISSUER}/token"));
        assert_eq!(request.authorization.as_ref().map(Secret::expose), authorization, "{methods}");
        let common = "grant_type=client_credentials&resource=https%3A%2F%2Fmcp.example%2Fa%2Fmcp&scope=r";
        assert_eq!(form(&request), format!("{common}{rest}"), "{methods}");
    };
    check(r#""client_secret_basic""#, None, Some("Basic bWU6cyUzQWU="), "&client_id=me");
    check(r#""client_secret_post""#, None, None, "&client_id=me&client_secret=s%3Ae");
    // Who shows a signature shows no secret.
    let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let signed = format!("&client_assertion_type={kind}&client_assertion=a.b.c&client_id=me");
    check(r#""private_key_jwt""#, Some("a.b.c"), None, &signed);

    let stranger = Identity::given("https://other.example", "me", secret);
    let refused = found(&plain("")).unwrap().ask(&stranger, Basis::Client, None).unwrap_err();
    assert!(refused.why.contains("known to https://other.example"), "{refused}");
}

#[test]
fn somebody_vouches() {
    let found = found(&plain("")).unwrap();
    let identity = Identity::given(ISSUER, "me", None);
    let word = Secret::new("w.o.rd");
    let request = found.ask(&identity, Basis::Assertion(&word), None).unwrap();
    let expected = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=w.o.rd\
                    &resource=https%3A%2F%2Fmcp.example%2Fa%2Fmcp&scope=r&client_id=me";
    assert_eq!((form(&request), request.authorization), (expected.to_owned(), None));

    let provider = Provider {
        token_endpoint: "https://idp.example/token".to_owned(),
        client_id: "at-idp".to_owned(),
        id_token: Secret::new("i.d"),
    };
    let request = provider.ask(&found);
    assert_eq!(request.url, provider.token_endpoint);
    let sent = form(&request);
    for part in [
        "subject_token=i.d&",
        "audience=https%3A%2F%2Fas.example&",
        "client_id=at-idp",
        "token-type%3Aid-jag",
    ] {
        assert!(sent.contains(part), "{part}: {sent}");
    }
    let check = |status: u16, body: &str, expected: Result<&str, &str>| {
        let given = provider.take(Answer { status, body: body.as_bytes() });
        match (&given, expected) {
            (Ok(given), Ok(expected)) => assert_eq!(given.expose(), expected),
            (Err(refusal), Err(words)) => assert!(refusal.why.contains(words), "{refusal}"),
            _ => panic!("{body}: {given:?}"),
        }
    };
    let of =
        |kind: &str| format!(r#"{{"access_token":"j.a.g","issued_token_type":"{kind}","token_type":"N_A"}}"#);
    check(200, &of("urn:ietf:params:oauth:token-type:id-jag"), Ok("j.a.g"));
    check(200, &of("urn:ietf:params:oauth:token-type:access_token"), Err("a token of another kind"));
    check(200, "{}", Err("a member is missing"));
    check(400, r#"{"error":"invalid_grant"}"#, Err("invalid_grant"));
}

#[test]
fn what_comes_of_it() {
    let found = found(&plain("")).unwrap();
    let identity = Identity::given(ISSUER, "me", None);
    let take = |status: u16, body: &str| found.take(&identity, Answer { status, body: body.as_bytes() });
    let grant =
        take(200, r#"{"access_token":"t","token_type":"Bearer","expires_in":60,"refresh_token":"x"}"#)
            .unwrap();
    assert_eq!((grant.access.expose(), grant.lifetime, grant.refresh()), ("t", Some(60), None));
    assert_eq!((grant.scopes.clone(), grant.granted), (vec!["r".to_owned()], grant.scopes));
    let refused = take(401, r#"{"error":"invalid_client"}"#).unwrap_err();
    assert!(
        refused.to_string().starts_with("getting a token: https://as.example refused: status 401"),
        "{refused}"
    );
    assert!(take(200, r#"{"access_token":"t","token_type":"DPoP"}"#).is_err());
}

#[test]
fn what_persons_need_is_not_asked_of_servers_without_any() {
    assert!(found(&plain("")).is_ok());
    let world = World::from([(PRM, resource(ISSUER)), (METADATA, (200, plain("")))]);
    let refused = follow(begin(), &world).1.unwrap_err();
    assert!(refused.why.contains("PKCE"), "{refused}");
    let nowhere = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"ftp://x"}}"#);
    assert!(found(&nowhere).unwrap_err().why.contains("no http:// or https:// URLs"));
}
