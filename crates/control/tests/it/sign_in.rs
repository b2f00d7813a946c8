//! Signing in with a browser: what opens, what does not, and what an attacker tries.

use api::sessions::SignInMethod;
use api::users::Role;
use domain::ids::{SessionId, SignInLinkId};
use domain::time::Timestamp;
use http::{Method, StatusCode};
use serde_json::json;
use store::sessions::SessionRow;

use crate::browser::{Browser, csrf, location, text};
use crate::platform::{Life, Platform, audit_lines, nobody, now, sha256};

const PASSWORD: &str = "correct horse battery staple";

/// A platform whose admin has a password.
async fn platform() -> Platform {
    let platform = Platform::start(nobody()).await;
    platform.set_password(&platform.owner, PASSWORD).await;
    platform
}

#[tokio::test]
async fn a_password_opens_pages_until_one_signs_out() {
    let platform = platform().await;
    let browser = Browser::new(&platform);
    let turned = browser.get("/you").await;
    assert_eq!((turned.status, location(&turned)), (StatusCode::SEE_OTHER, "/sign-in?next=/you"));
    let page = browser.get("/sign-in?next=/you").await;
    assert!(text(&page).contains("name=\"next\" value=\"/you\""), "{}", text(&page));

    browser.sign_in("admin", PASSWORD).await;
    let you = browser.get("/you").await;
    assert!(text(&you).contains("owner of <a href=\"/a/default\"><b>default</b></a>"), "{}", text(&you));
    assert!(text(&you).contains("Test/1"));
    let again = browser.get("/sign-in?next=/you").await;
    assert_eq!(
        (again.status, location(&again)),
        (StatusCode::SEE_OTHER, "/you"),
        "whoever is in is not asked"
    );

    let out = browser.submit("/you", "/sign-out", &[]).await;
    assert_eq!((out.status, location(&out)), (StatusCode::SEE_OTHER, "/sign-in"));
    assert_eq!(browser.cookie("berth_session"), None);
    assert!(!browser.is_signed_in().await);

    let account = platform.account("default").await;
    let actions: Vec<String> = audit_lines(&platform.store, account, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|line| line.action)
        .filter(|action| action.starts_with("user."))
        .collect();
    assert_eq!(actions, ["user.sign_out", "user.sign_in", "user.password"]);
    platform.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_not_told_apart() {
    let platform = platform().await;
    platform.person("default", Role::Owner, Life::Good).await;
    let mut answers = Vec::new();
    for (login, password) in [
        ("admin", "wrong password"),
        ("nobody", PASSWORD),
        ("admin", ""),
        ("", ""),
        ("a@b", "x"),
        ("a\0b", "x"),
    ] {
        let browser = Browser::new(&platform);
        let answer = browser.post("/sign-in", &[("login", login), ("password", password)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{login}");
        assert_eq!(browser.cookie("berth_session"), None);
        let told = text(&answer).replace(&format!("value=\"{login}\""), "value=\"\"");
        answers.push(told.replace(" autofocus", ""));
    }
    // With NUL in it, it is shown as something else; the sentence is the same.
    answers.pop();
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert!(answers[0].contains("nobody with this name and this password"));
    platform.stop().await;
}

#[tokio::test]
async fn a_session_is_no_credential_of_the_api_or_of_mcp() {
    let platform = platform().await;
    let browser = Browser::new(&platform);
    browser.sign_in("admin", PASSWORD).await;
    let cookie = browser.cookie("berth_session").unwrap();
    for path in ["/api/v1/whoami", "/api/v1/instances", "/mcp/default/welcome", "/mcp/default/welcome/sse"] {
        for method in [Method::GET, Method::POST] {
            let with_cookie = browser.send(method.clone(), path, &[], None).await;
            let as_bearer = platform.send(Some(&cookie), method.clone(), path, None).await;
            for answer in [with_cookie, as_bearer] {
                let refused = matches!(answer.status.as_u16(), 401 | 405);
                assert!(refused, "{method} {path}: {}", answer.status);
            }
        }
    }
    // Nor does an API token open a page.
    let page = platform.send(Some(&platform.owner), Method::GET, "/you", None).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    platform.stop().await;
}

#[tokio::test]
async fn a_planted_session_is_worth_nothing() {
    let platform = platform().await;
    let (attacker, victim) = (Browser::new(&platform), Browser::new(&platform));
    let planted = "A".repeat(43);
    victim.set_cookie("berth_session", &planted);
    victim.sign_in("admin", PASSWORD).await;
    assert_ne!(victim.cookie("berth_session").unwrap(), planted);
    attacker.set_cookie("berth_session", &planted);
    assert!(!attacker.is_signed_in().await);
    // The session that a browser had ends when it signs in again: whoever copied its cookie is out.
    attacker.set_cookie("berth_session", &victim.cookie("berth_session").unwrap());
    assert!(attacker.is_signed_in().await);
    victim.sign_in("admin", PASSWORD).await;
    assert!(!attacker.is_signed_in().await);
    assert!(victim.is_signed_in().await);
    // Two cookies of one name: somebody planted one.
    let both = format!("berth_session={planted}; berth_session={}", victim.cookie("berth_session").unwrap());
    let answer = platform.send_body(Method::GET, "/you", &[("cookie", &both)], String::new()).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    platform.stop().await;
}

#[tokio::test]
async fn forms_are_taken_from_our_own_pages_alone() {
    let platform = platform().await;
    let browser = Browser::new(&platform);
    browser.sign_in("admin", PASSWORD).await;
    let other = Browser::new(&platform);
    other.sign_in("admin", PASSWORD).await;
    let (own, others) = (csrf(&browser.get("/you").await), csrf(&other.get("/you").await));
    assert_ne!(own, others);
    let origin = format!("http://{}", platform.address);
    let evil: [&[(&str, &str)]; 6] = [
        &[],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", &origin), ("sec-fetch-site", "cross-site")],
        &[("origin", &origin), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
    ];
    let new = "another correct horse";
    for headers in evil {
        for (path, fields) in [
            ("/you/password", &[("csrf", own.as_str()), ("current", PASSWORD), ("password", new)][..]),
            ("/sign-out", &[("csrf", own.as_str())]),
            ("/sign-in", &[("login", "admin"), ("password", PASSWORD)]),
        ] {
            let answer = browser.send(Method::POST, path, headers, Some(fields)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {headers:?}");
            assert!(!answer.headers.contains_key("set-cookie"), "{path} {headers:?}");
        }
    }
    for (fields, status) in [
        (&[("current", PASSWORD), ("password", new)][..], 400),
        (&[("csrf", ""), ("current", PASSWORD), ("password", new)], 403),
        (&[("csrf", &others), ("current", PASSWORD), ("password", new)], 403),
        (&[("csrf", &own), ("csrf", &own), ("current", PASSWORD), ("password", new)], 400),
        (&[("csrf", &own), ("current", "wrong password"), ("password", new)], 403),
        (&[("csrf", &own), ("current", PASSWORD), ("password", "short")], 422),
        (&[("csrf", &own), ("current", PASSWORD), ("password", new)], 200),
    ] {
        let answer = browser.post("/you/password", fields).await;
        assert_eq!(answer.status.as_u16(), status, "{fields:?}: {}", text(&answer));
    }
    assert!(browser.is_signed_in().await, "the browser that did it stays");
    assert!(!other.is_signed_in().await, "every other one has to sign in again");
    let json = browser
        .send(Method::POST, "/sign-out", &[("origin", &origin), ("content-type", "text/plain")], None)
        .await;
    assert_eq!(json.status, StatusCode::BAD_REQUEST, "a form is a form");
    platform.stop().await;
}

#[tokio::test]
async fn one_is_sent_on_to_our_own_pages_alone() {
    let platform = platform().await;
    for (next, expected) in [
        ("/you?x=1&y=2", Some("/you?x=1&#38;y=2")),
        ("/oauth/authorize?client_id=https%3A%2F%2Fx", Some("/oauth/authorize?client_id=https%3A%2F%2Fx")),
        ("//evil.example", None),
        ("/\\evil.example", None),
        ("https://evil.example", None),
        ("/\t/evil.example", None),
        ("javascript:alert(1)", None),
        ("/a\r\nset-cookie: a=b", None),
        ("", None),
    ] {
        let browser = Browser::new(&platform);
        let fields = [("login", "admin"), ("password", PASSWORD), ("next", next)];
        let answer = browser.post("/sign-in", &fields).await;
        match expected {
            // A page that leads on: a redirection from a form would not be followed to where that leads.
            Some(path) => {
                assert_eq!(answer.status, StatusCode::OK, "{next}");
                assert!(text(&answer).contains(&format!("content=\"0; url={path}\"")), "{}", text(&answer));
            }
            None => {
                assert_eq!((answer.status, location(&answer)), (StatusCode::SEE_OTHER, "/"), "{next:?}");
            }
        }
        assert!(browser.is_signed_in().await);
        let escaped: Vec<String> = next.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let shown = browser.get(&format!("/sign-in?next={}", escaped.concat())).await;
        let place = location(&shown);
        assert!(
            place.starts_with('/') && !place.starts_with("//") && !place.contains('\\'),
            "{next:?}: {place}"
        );
    }
    // The path that is asked for without a session is itself such a text.
    let turned = Browser::new(&platform).get("/you?a=%22%3E&b=//x").await;
    assert_eq!(location(&turned), "/sign-in?next=/you%3Fa%3D%2522%253E%26b%3D//x");
    platform.stop().await;
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let platform = Platform::start_with(nobody(), |config| {
        config.proxies = control::Proxies(vec!["127.0.0.1/32".parse().unwrap()]);
    })
    .await;
    platform.set_password(&platform.owner, PASSWORD).await;
    let try_one = async |from: &str, login: &str, password: &str| {
        let browser = Browser::new(&platform).with("x-forwarded-for", from);
        browser.post("/sign-in", &[("login", login), ("password", password)]).await
    };
    // One name from many addresses.
    for i in 0..10 {
        let answer = try_one(&format!("192.0.2.{i}"), "admin", "wrong password").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{i}");
    }
    let answer = try_one("192.0.2.77", "Admin ", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "even when it is right at last");
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    // Many names from one address.
    for i in 0..20 {
        let answer = try_one("198.51.100.1", &format!("user-{i}"), "wrong password").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{i}");
    }
    let answer = try_one("198.51.100.1", "someone", "wrong password").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(try_one("198.51.100.2", "someone", "wrong password").await.status, StatusCode::FORBIDDEN);
    platform.stop().await;
}

#[tokio::test]
async fn the_cookie_is_as_strict_as_the_connection_allows() {
    let platform = Platform::start_with(nobody(), |config| {
        config.proxies = control::Proxies(vec!["127.0.0.1/32".parse().unwrap()]);
        config.own_urls = vec![config.public.url().to_owned()];
        config.public = control::Public::new("https://berth.example.com", None).unwrap();
    })
    .await;
    platform.set_password(&platform.owner, PASSWORD).await;
    let fields = [("login", "admin"), ("password", PASSWORD)];
    let secure = [("x-forwarded-proto", "https"), ("x-forwarded-host", "berth.example.com")];
    let over_tls = [&secure[..], &[("origin", "https://berth.example.com")]].concat();
    let plain = format!("http://{}", platform.address);
    for (headers, start, is_secure) in
        [(&over_tls[..], "__Host-berth_session=", true), (&[("origin", &*plain)], "berth_session=", false)]
    {
        let browser = Browser::new(&platform);
        let answer = browser.send(Method::POST, "/sign-in", headers, Some(&fields)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", text(&answer));
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with(start), "{cookie}");
        for part in ["; Path=/", "; HttpOnly", "; SameSite=Lax"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert_eq!(cookie.contains("; Secure"), is_secure, "{cookie}");
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    // A cookie that plain HTTP could plant counts for nothing over TLS.
    let browser = Browser::new(&platform);
    browser.send(Method::POST, "/sign-in", &over_tls, Some(&fields)).await;
    let cookie = browser.cookie("__Host-berth_session").unwrap();
    let with = Browser::new(&platform);
    with.set_cookie("__Host-berth_session", &cookie);
    assert_eq!(with.send(Method::GET, "/you", &secure, None).await.status, StatusCode::OK);
    let planted = Browser::new(&platform);
    planted.set_cookie("berth_session", &cookie);
    assert_eq!(planted.send(Method::GET, "/you", &secure, None).await.status, StatusCode::SEE_OTHER);
    platform.stop().await;
}

#[tokio::test]
async fn a_link_works_once_and_not_by_looking_at_it() {
    let platform = platform().await;
    let config = platform.config();
    let made = control::recover(&config, "berth recover", None, true).await.unwrap();
    assert_eq!(made.user_name, "admin");
    let path = made.link_path.expose();
    let browser = Browser::new(&platform);
    for _ in 0..3 {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(text(&page).contains("Sign in as admin"));
        assert_eq!(browser.cookie("berth_session"), None);
    }
    let cross = browser.send(Method::POST, path, &[("origin", "https://evil.example")], Some(&[])).await;
    assert_eq!(cross.status, StatusCode::FORBIDDEN, "nobody else signs one in");
    let used = browser.post(path, &[]).await;
    assert_eq!((used.status, location(&used)), (StatusCode::SEE_OTHER, "/"));
    assert!(browser.is_signed_in().await);
    for answer in [browser.get(path).await, Browser::new(&platform).post(path, &[]).await] {
        assert_eq!(answer.status, StatusCode::GONE);
        assert!(text(&answer).contains("berth recover"));
    }
    // Who has the link lost the password, so the present one is not asked for.
    let new = "a new one that is long enough";
    let set = browser.submit("/you", "/you/password", &[("password", new)]).await;
    assert_eq!(set.status, StatusCode::OK, "{}", text(&set));
    Browser::new(&platform).sign_in("admin", new).await;
    let token = made.api_token.unwrap();
    let me = platform.send(Some(token.expose()), Method::GET, "/api/v1/whoami", None).await;
    assert_eq!((&me.json()["user_name"], &me.json()["role"]), (&json!("admin"), &json!("owner")));

    let admin = platform.user("admin").await;
    let (late, past) = ("B".repeat(43), Timestamp(now().0 - 1));
    let mut tx = platform.store.begin().await.unwrap();
    store::sign_in_links::insert(&mut tx, SignInLinkId::generate(), admin, &sha256(&late), past, past)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let late = format!("/sign-in/link/{late}");
    assert_eq!(browser.get(&late).await.status, StatusCode::GONE);
    assert_eq!(browser.post(&late, &[]).await.status, StatusCode::GONE);
    let error = control::recover(&config, "berth recover", Some("nobody"), false).await.unwrap_err();
    assert!(error.to_string().contains("no user `nobody`"), "{error}");
    platform.stop().await;
}

/// Days since it began and since it was used, whether somebody ended it; whether it opens a page.
#[tokio::test]
async fn a_session_ends() {
    let platform = platform().await;
    let user = platform.user("admin").await;
    for (began, used, ended, opens) in [
        (0, 0, false, true),
        (29, 1, false, true),
        (29, 8, false, false),
        (31, 0, false, false),
        (7, 7, false, false),
        (1, 0, true, false),
    ] {
        let ago = |days: i64| Timestamp(now().0 - days * 86_400_000_000);
        let row = SessionRow {
            id: SessionId::generate(),
            user,
            method: SignInMethod::Password,
            user_agent: None,
            address: None,
            created_at: ago(began),
            last_seen_at: ago(used),
            expires_at: ago(began - 30),
            ended_at: ended.then(|| ago(0)),
        };
        let cookie: String = row.id.to_string().replace('-', "").chars().cycle().take(43).collect();
        let mut tx = platform.store.begin().await.unwrap();
        store::sessions::insert(&mut tx, &row, &sha256(&cookie)).await.unwrap();
        tx.commit().await.unwrap();
        let browser = Browser::new(&platform);
        browser.set_cookie("berth_session", &cookie);
        assert_eq!(browser.is_signed_in().await, opens, "{began} {used} {ended}");
    }
    // What is used is noted.
    let all = store::sessions::list(&platform.store, user).await.unwrap();
    let recent = all.iter().filter(|row| now().0 - row.last_seen_at.0 < 60_000_000).count();
    assert_eq!(recent, 3, "{all:#?}");
    platform.stop().await;
}

#[tokio::test]
async fn each_page_says_what_browsers_must_know() {
    let platform = platform().await;
    let browser = Browser::new(&platform);
    browser.sign_in("admin", PASSWORD).await;
    for path in ["/sign-in/link/x", "/you", "/a/default", "/a/nothing"] {
        let page = browser.get(path).await;
        let header =
            |name: &str| page.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        assert!(header("content-security-policy").starts_with("default-src 'none';"), "{path}");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        let text = text(&page);
        assert!(
            !text.contains("<script>") && !text.contains(" style=") && !text.contains("=\"http"),
            "{path}"
        );
        let style = text.split("stylesheet\" href=\"").nth(1).unwrap().split('"').next().unwrap();
        let style = browser.get(style).await;
        assert_eq!(style.status, StatusCode::OK);
        assert!(style.headers["cache-control"].to_str().unwrap().contains("immutable"));
    }
    platform.stop().await;
}
