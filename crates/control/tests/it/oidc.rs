//! Signing in through a real identity provider, and what somebody tries who stands between.

use api::users::Role;
use control::Oidc;
use domain::secret::Secret;
use http::{Method, StatusCode};
use serde_json::json;
use testkit::oidc::{Oidc as Provider, SECRET};

use crate::browser::{Browser, location, text};
use crate::platform::{Life, Platform, audit_lines, nobody};

const PASSWORD: &str = "correct horse battery staple";

/// A platform with a provider, and what else of it.
async fn platform(provision: Option<Role>) -> (Platform, Provider) {
    let mut provider = None;
    let platform = Platform::start_with(nobody(), |config| {
        let started = Provider::start(&format!("{}/sign-in/oidc/callback", config.public.url()));
        let mut oidc = Oidc::new(started.issuer(), "berth", Secret::new(SECRET), "Example Ltd.").unwrap();
        oidc.provision = provision.map(|role| ("default".parse().unwrap(), role));
        config.oidc = Some(oidc);
        provider = Some(started);
    })
    .await;
    (platform, provider.unwrap())
}

/// Goes to the provider, signs in there, and gives the path one is sent back to.
async fn away(browser: &Browser<'_>, provider: &Provider, path: &str, login: &str) -> String {
    let begun = browser.get(path).await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", text(&begun));
    assert!(location(&begun).starts_with(provider.issuer()), "{}", location(&begun));
    back(provider, location(&begun), login)
}

fn back(provider: &Provider, url: &str, login: &str) -> String {
    let url = provider.sign_in(url, login);
    let (_, path) = url.split_once("/sign-in/oidc/callback").unwrap();
    format!("/sign-in/oidc/callback{path}")
}

async fn accounts(browser: &Browser<'_>) -> String {
    let page = text(&browser.get("/you").await);
    page.split("<p>You are ").nth(1).and_then(|rest| rest.split("</p>").next()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn whom_nobody_invited_is_refused_and_whom_somebody_did_is_in() {
    let (platform, provider) = platform(None).await;
    let page = text(&Browser::new(&platform).get("/sign-in?next=/you").await);
    assert!(page.contains("href=\"/sign-in/oidc?next=/you\">Sign in with Example Ltd.</a>"), "{page}");

    let browser = Browser::new(&platform);
    let path = away(&browser, &provider, "/sign-in/oidc", "mary").await;
    let refused = browser.get(&path).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(text(&refused).contains("Example Ltd. knows you (mary@example.com), and nobody has invited you"));
    assert!(!browser.is_signed_in().await);

    // A user of that address is nobody's identity.
    let body = json!({ "role": "viewer", "email": "Mary@Example.com" });
    let invited = platform.post("/api/v1/invitations", body).await;
    assert_eq!(invited.status, StatusCode::CREATED, "{}", invited.error());
    // Who says so and has not proven it is not meant.
    let path = away(&browser, &provider, "/sign-in/oidc", "mary-unverified").await;
    assert_eq!(browser.get(&path).await.status, StatusCode::FORBIDDEN);

    let path = away(&browser, &provider, "/sign-in/oidc?next=/you%3Fx%3D1", "mary").await;
    let signed_in = browser.get(&path).await;
    assert_eq!(signed_in.status, StatusCode::OK, "{}", text(&signed_in));
    assert!(text(&signed_in).contains("url=/you?x=1\""), "{}", text(&signed_in));
    assert_eq!(accounts(&browser).await, "viewer of <a href=\"/a/default\"><b>default</b></a>.");
    assert!(text(&browser.get("/you").await).contains("<h1>mary</h1>"));
    let lines = audit_lines(&platform.store, platform.account("default").await, 10).await.unwrap();
    assert!(lines.iter().any(|line| line.action == "user.sign_in" && line.detail["method"] == "oidc"));

    // Again, without an invitation, and as the same.
    let again = Browser::new(&platform);
    let path = away(&again, &provider, "/sign-in/oidc", "mary").await;
    let signed_in = again.get(&path).await;
    assert_eq!((signed_in.status, location(&signed_in)), (StatusCode::SEE_OTHER, "/"));
    assert!(text(&again.get("/you").await).contains("<h1>mary</h1>"));
    // A further invitation is accepted by coming.
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let body = Some(json!({ "role": "member", "email": "mary@example.com" }));
    platform.send(Some(&stranger), Method::POST, "/api/v1/invitations", body).await;
    let path = away(&again, &provider, "/sign-in/oidc", "mary").await;
    again.get(&path).await;
    assert_eq!(
        accounts(&again).await,
        "viewer of <a href=\"/a/default\"><b>default</b></a>, member of <a href=\"/a/other\"><b>other</b></a>."
    );
    platform.stop().await;
}

#[tokio::test]
async fn an_address_alone_makes_nobody_somebody_else() {
    let (platform, provider) = platform(Some(Role::Member)).await;
    // Mary is here, with a password and her address.
    let made = platform.post("/api/v1/invitations", json!({ "role": "admin" })).await.json();
    let url = made["url"].as_str().unwrap();
    let link = url.strip_prefix(&format!("http://{}", platform.address)).unwrap();
    let mary = Browser::new(&platform);
    let fields = [("name", "mary"), ("email", "mary@example.com"), ("password", PASSWORD)];
    assert_eq!(mary.post(link, &fields).await.status, StatusCode::SEE_OTHER);

    // Whom the provider calls so is another user, though it vouches for the address.
    let browser = Browser::new(&platform);
    let path = away(&browser, &provider, "/sign-in/oidc", "mary").await;
    assert_eq!(browser.get(&path).await.status, StatusCode::SEE_OTHER);
    assert!(text(&browser.get("/you").await).contains("<h1>mary-2</h1>"));
    assert_eq!(accounts(&browser).await, "member of <a href=\"/a/default\"><b>default</b></a>.");
    // Who is let in by the account's rule needs no verified address.
    let other = Browser::new(&platform);
    let path = away(&other, &provider, "/sign-in/oidc", "jo-unverified").await;
    assert_eq!(other.get(&path).await.status, StatusCode::SEE_OTHER);
    assert_eq!(accounts(&other).await, "member of <a href=\"/a/default\"><b>default</b></a>.");

    // Mary connects another identity of hers, from her own page.
    let csrf = crate::browser::csrf(&mary.get("/you").await);
    let cross = [("origin", "https://evil.example")];
    let evil = mary.send(Method::POST, "/you/oidc", &cross, Some(&[("csrf", &csrf)])).await;
    assert_eq!(evil.status, StatusCode::FORBIDDEN);
    let connect = async |browser: &Browser<'_>, login: &str| {
        let page = browser.submit("/you", "/you/oidc", &[]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", text(&page));
        let page = text(&page);
        let url = page.split("<a href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        back(&provider, &url.replace("&#38;", "&"), login)
    };
    let path = connect(&mary, "work").await;
    // Another browser does not take it to another user.
    assert_eq!(browser.get(&path).await.status, StatusCode::FORBIDDEN);
    let linked = mary.get(&path).await;
    assert_eq!((linked.status, location(&linked)), (StatusCode::SEE_OTHER, "/you"), "{}", text(&linked));
    let path = connect(&mary, "mary").await;
    assert_eq!(mary.get(&path).await.status, StatusCode::CONFLICT, "that is the other one's");
    let again = Browser::new(&platform);
    let path = away(&again, &provider, "/sign-in/oidc", "work").await;
    again.get(&path).await;
    assert!(text(&again.get("/you").await).contains("<h1>mary</h1>"));
    assert_eq!(accounts(&again).await, "admin of <a href=\"/a/default\"><b>default</b></a>.");
    platform.stop().await;
}

#[tokio::test]
async fn an_answer_is_of_the_browser_and_the_provider_that_were_asked() {
    let (platform, provider) = platform(Some(Role::Viewer)).await;
    let attacker = Browser::new(&platform);
    let stolen = away(&attacker, &provider, "/sign-in/oidc", "eve").await;
    let refused = async |browser: &Browser<'_>, path: &str, words: &str| {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}: {}", text(&answer));
        assert!(text(&answer).contains(words), "{path}: {}", text(&answer));
        assert_eq!(browser.cookie("berth_session"), None);
    };
    let not_asked = "not of a sign-in that this browser began";
    // Signing a victim in as the attacker: the victim has asked for nothing, or for something else.
    let victim = Browser::new(&platform);
    refused(&victim, &stolen, not_asked).await;
    victim.get("/sign-in/oidc").await;
    refused(&victim, &stolen, not_asked).await;
    let cookie = attacker.cookie("berth_away").unwrap();
    victim.set_cookie("berth_away", &cookie[..cookie.len() - 4]);
    refused(&victim, &stolen, not_asked).await;

    let browser = Browser::new(&platform);
    let part = |path: &str, name: &str| {
        path.split(['?', '&']).find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap().to_owned()
    };
    // Another issuer's answer, or one that does not say whose it is.
    for (from, to) in
        [("iss=http", "iss=https"), ("&iss=", "&was="), ("state=", "state=x"), ("state=", "was=")]
    {
        let path = away(&browser, &provider, "/sign-in/oidc", "mary").await;
        let words = if from.contains("iss") { "another identity provider" } else { not_asked };
        refused(&browser, &path.replace(from, to), words).await;
    }
    // Another sign-in's code: the provider holds it against the verifier.
    let path = away(&browser, &provider, "/sign-in/oidc", "mary").await;
    refused(&browser, &path.replace(&part(&path, "code"), &part(&stolen, "code")), "too late").await;
    // What the provider refuses is told in its word alone.
    let begun = browser.get("/sign-in/oidc").await;
    let (state, iss) = (part(location(&begun), "state"), provider.issuer().to_owned());
    let path = format!("/sign-in/oidc/callback?error=access_denied%3Cb%3E&state={state}&iss={iss}");
    refused(&browser, &path, "did not sign you in (access_deniedb)").await;
    // A code is good once.
    let path = away(&browser, &provider, "/sign-in/oidc", "mary").await;
    let kept = browser.cookie("berth_away").unwrap();
    assert_eq!(browser.get(&path).await.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.cookie("berth_away"), None);
    let replay = Browser::new(&platform);
    replay.set_cookie("berth_away", &kept);
    refused(&replay, &path, "too late").await;
    // And one is sent on to our own pages alone.
    let path = away(&browser, &provider, "/sign-in/oidc?next=//evil.example", "mary").await;
    assert_eq!(location(&browser.get(&path).await), "/");
    platform.stop().await;
}

#[tokio::test]
async fn a_provider_that_is_away_keeps_nobody_from_signing_in_otherwise() {
    let platform = Platform::start_with(nobody(), |config| {
        let issuer = format!("http://{}", nobody());
        config.oidc = Some(Oidc::new(&issuer, "berth", Secret::new("x"), "Example Ltd.").unwrap());
    })
    .await;
    platform.set_password(&platform.owner, PASSWORD).await;
    let browser = Browser::new(&platform);
    let answer = browser.get("/sign-in/oidc").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(text(&answer).contains("Sign in with a password"), "{}", text(&answer));
    browser.sign_in("admin", PASSWORD).await;
    platform.stop().await;
    for (issuer, is_one) in [
        ("https://login.example.com/realms/team", true),
        ("http://127.0.0.1:1", true),
        ("http://[::1]:1", true),
        ("http://localhost", true),
        ("http://login.example.com", false),
        ("https://login.example.com?x", false),
        ("https://login.example.com#x", false),
        ("https://me@login.example.com", false),
        ("ftp://x", false),
        ("x", false),
    ] {
        assert_eq!(Oidc::new(issuer, "berth", Secret::new("x"), "x").is_ok(), is_one, "{issuer}");
    }
}
