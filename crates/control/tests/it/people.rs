//! Accounts, members, invitations and sessions by API, and the page of an invitation.

use api::users::Role;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::browser::{Browser, location, text};
use crate::platform::{Answer, Life, Platform, audit_lines, nobody, now, sha256};

const PASSWORD: &str = "correct horse battery staple";

async fn call(platform: &Platform, token: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
    platform.send(Some(token), method, path, body).await
}

async fn me(platform: &Platform, token: &str) -> (StatusCode, Value) {
    let answer = call(platform, token, Method::GET, "/api/v1/whoami", None).await;
    (answer.status, answer.json())
}

/// The name of a token's user.
async fn name(platform: &Platform, token: &str) -> String {
    me(platform, token).await.1["user_name"].as_str().unwrap().to_owned()
}

/// A name as a part of a path.
fn path(name: &str) -> String {
    format!("/api/v1/members/{}", name.replace(' ', "%20"))
}

/// The path of a new invitation's page.
async fn invite(platform: &Platform, token: &str, body: Value) -> String {
    let made = call(platform, token, Method::POST, "/api/v1/invitations", Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.error());
    let url = made.json()["url"].as_str().unwrap().to_owned();
    let address = format!("http://{}", platform.address);
    url.strip_prefix(&address).expect("a link to here").to_owned()
}

#[tokio::test]
async fn roles_are_given_up_to_ones_own_and_an_owner_stays() {
    let platform = Platform::start(nobody()).await;
    let owner = platform.owner.clone();
    let admin = platform.person("default", Role::Admin, Life::Good).await;
    let other_admin = platform.person("default", Role::Admin, Life::Good).await;
    let member = platform.person("default", Role::Member, Life::Good).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let (of_admin, of_other) = (name(&platform, &admin).await, name(&platform, &other_admin).await);
    let (of_member, of_stranger) = (name(&platform, &member).await, name(&platform, &stranger).await);
    // Who, whose role, which, what is answered.
    for (by, whose, role, status) in [
        (&member, &of_member, "admin", 403),
        (&member, &of_admin, "viewer", 403),
        (&admin, &of_member, "owner", 403),
        (&admin, &of_admin, "owner", 403),
        (&admin, &"admin".to_owned(), "viewer", 403),
        (&stranger, &of_member, "owner", 404),
        (&admin, &of_stranger, "viewer", 404),
        (&owner, &"admin".to_owned(), "admin", 409),
        (&admin, &of_member, "viewer", 200),
        (&admin, &of_member, "admin", 200),
        (&admin, &of_other, "member", 200),
        (&owner, &of_admin, "owner", 200),
        (&owner, &"admin".to_owned(), "admin", 200),
        (&owner, &"admin".to_owned(), "owner", 403),
        (&admin, &of_admin, "admin", 409),
        (&admin, &of_member, "king", 422),
    ] {
        let body = Some(json!({ "role": role }));
        let answer = call(&platform, by, Method::PATCH, &path(whose), body).await;
        assert_eq!(answer.status.as_u16(), status, "{whose} {role}: {answer:?}");
    }
    // It counted at once, for the tokens that there were.
    let role_of = async |token: &str| me(&platform, token).await.1["role"].as_str().unwrap().to_owned();
    for (token, role) in [(&owner, "admin"), (&admin, "owner"), (&other_admin, "member"), (&member, "admin")]
    {
        assert_eq!(role_of(token).await, role);
    }
    platform.stop().await;
}

#[tokio::test]
async fn who_leaves_has_nothing_there_any_more() {
    let platform = Platform::start(nobody()).await;
    let owner = platform.owner.clone();
    let admin = platform.person("default", Role::Admin, Life::Good).await;
    let member = platform.person("default", Role::Member, Life::Good).await;
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let link = invite(&platform, &admin, json!({ "role": "admin" })).await;
    let (of_admin, of_member, of_viewer) =
        (name(&platform, &admin).await, name(&platform, &member).await, name(&platform, &viewer).await);
    for (by, whose, status) in [
        (&stranger, &of_member, 404),
        (&member, &of_viewer, 403),
        (&admin, &"admin".to_owned(), 403),
        (&owner, &"admin".to_owned(), 409),
        (&viewer, &of_viewer, 204),
        (&owner, &of_member, 204),
        (&owner, &of_member, 404),
        (&owner, &of_admin, 204),
    ] {
        let answer = call(&platform, by, Method::DELETE, &path(whose), None).await;
        assert_eq!(answer.status.as_u16(), status, "{whose}: {answer:?}");
    }
    for token in [&admin, &member, &viewer] {
        assert_eq!(me(&platform, token).await.0, StatusCode::UNAUTHORIZED);
    }
    // Nor do they come back by what they left behind.
    let page = Browser::new(&platform).get(&link).await;
    assert_eq!(page.status, StatusCode::GONE, "{}", text(&page));
    platform.stop().await;
}

#[tokio::test]
async fn a_member_sees_others_and_an_admin_their_addresses() {
    let platform = Platform::start(nobody()).await;
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let link = invite(&platform, &platform.owner, json!({ "role": "member", "name": "mary" })).await;
    let browser = Browser::new(&platform);
    let fields = [("name", "mary"), ("email", "Mary@Example.com"), ("password", PASSWORD)];
    assert_eq!(browser.post(&link, &fields).await.status, StatusCode::SEE_OTHER);
    for (token, email) in [(&viewer, Value::Null), (&platform.owner, json!("mary@example.com"))] {
        let list = call(&platform, token, Method::GET, "/api/v1/members", None).await.json();
        let mary = list.as_array().unwrap().iter().find(|member| member["name"] == "mary").unwrap();
        assert_eq!((&mary["role"], &mary["email"]), (&json!("member"), &email));
        assert_eq!(list.as_array().unwrap().len(), 3);
    }
    // The address signs in as the name does.
    Browser::new(&platform).sign_in(" MARY@example.com", PASSWORD).await;
    platform.stop().await;
}

#[tokio::test]
async fn an_invitation_makes_one_member() {
    let platform = Platform::start(nobody()).await;
    platform.set_password(&platform.owner, PASSWORD).await;
    let link = invite(&platform, &platform.owner, json!({ "role": "member", "name": "mary" })).await;
    let browser = Browser::new(&platform);
    let page = text(&browser.get(&link).await);
    for words in ["<b>admin</b> invites you", "<b>default</b>, as member", "value=\"mary\"", "next=/invite/"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    for (fields, status, words) in [
        (&[("name", "Mary"), ("password", PASSWORD)][..], 422, "lower-case"),
        (&[("name", "me@example"), ("password", PASSWORD)], 422, "is not a name"),
        (&[("name", "mary"), ("password", "short")], 422, "at least 12 characters"),
        (&[("name", "mary"), ("email", "no address"), ("password", PASSWORD)], 422, "me@example.com"),
        (&[("name", "admin"), ("password", PASSWORD)], 409, "is taken"),
        (&[("name", "mary")], 400, "lacks a field"),
    ] {
        let answer = browser.post(&link, fields).await;
        assert_eq!(answer.status.as_u16(), status, "{fields:?}");
        assert!(text(&answer).contains(words), "{words}: {}", text(&answer));
        assert_eq!(browser.cookie("berth_session"), None);
    }
    let evil = [("origin", "https://evil.example")];
    let fields = [("name", "mary"), ("password", PASSWORD)];
    let cross = browser.send(Method::POST, &link, &evil, Some(&fields)).await;
    assert_eq!(cross.status, StatusCode::FORBIDDEN);
    let joined = browser.post(&link, &fields).await;
    assert_eq!((joined.status, location(&joined)), (StatusCode::SEE_OTHER, "/"), "{}", text(&joined));
    assert!(text(&browser.get("/you").await).contains("member of <a href=\"/a/default\"><b>default</b></a>"));
    for answer in [
        browser.get(&link).await,
        Browser::new(&platform).post(&link, &[("name", "jo"), ("password", PASSWORD)]).await,
    ] {
        assert_eq!(answer.status, StatusCode::GONE, "once is once");
    }
    Browser::new(&platform).sign_in("mary", PASSWORD).await;
    let lines = audit_lines(&platform.store, platform.account("default").await, 20).await.unwrap();
    let actions: Vec<&str> = lines.iter().map(|line| line.action.as_str()).collect();
    for action in ["invitation.create", "member.join", "user.sign_in"] {
        assert!(actions.contains(&action), "{actions:?}");
    }
    platform.stop().await;
}

#[tokio::test]
async fn who_has_a_name_joins_with_it() {
    let platform = Platform::start(nobody()).await;
    platform.set_password(&platform.owner, PASSWORD).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let link = invite(&platform, &stranger, json!({ "role": "viewer" })).await;
    let browser = Browser::new(&platform);
    browser.sign_in("admin", PASSWORD).await;
    let join = format!("{link}/join");
    let without = browser.post(&join, &[("csrf", "x")]).await;
    assert_eq!(without.status, StatusCode::FORBIDDEN);
    let joined = browser.submit(&link, &join, &[]).await;
    assert_eq!(joined.status, StatusCode::OK, "{}", text(&joined));
    let you = text(&browser.get("/you").await);
    assert!(you.contains("viewer of <a href=\"/a/other\"><b>other</b></a>"), "{you}");
    // Whoever is in already uses up nobody's link.
    let again = invite(&platform, &stranger, json!({ "role": "owner" })).await;
    let refused = browser.submit(&again, &format!("{again}/join"), &[]).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", text(&refused));
    assert_eq!(browser.get(&again).await.status, StatusCode::OK);
    assert!(
        text(&browser.get("/you").await).contains("viewer of <a href=\"/a/other\"><b>other</b></a>"),
        "nor gets another role"
    );

    // A token for the other account; only from one that is for everything.
    let create = async |token: &str, account: &str| {
        let body = json!({ "name": "there", "account": account });
        call(&platform, token, Method::POST, "/api/v1/tokens", Some(body)).await
    };
    let made = create(&platform.owner, "other").await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.error());
    let (_, who) = me(&platform, made.json()["secret"].as_str().unwrap()).await;
    assert_eq!((&who["account_name"], &who["role"]), (&json!("other"), &json!("viewer")));
    let narrow = platform.scoped(&platform.owner, &["admin", "mcp:call"]).await;
    for (token, account, status) in [
        (&narrow, "other", 403),
        (&stranger, "default", 404),
        (&stranger, "nothing", 404),
        (&narrow, "default", 201),
    ] {
        let answer = create(token, account).await;
        assert_eq!(answer.status.as_u16(), status, "{account}: {answer:?}");
    }
    platform.stop().await;
}

#[tokio::test]
async fn invitations_are_the_accounts_own_and_no_better_than_who_made_them() {
    let platform = Platform::start(nobody()).await;
    let owner = platform.owner.clone();
    let admin = platform.person("default", Role::Admin, Life::Good).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let links = [
        invite(&platform, &admin, json!({ "role": "admin" })).await,
        invite(&platform, &owner, json!({ "role": "viewer", "email": "Jo@Example.com" })).await,
    ];
    for (token, body, start) in [
        (&admin, json!({ "role": "owner" }), "403 forbidden | role"),
        (&owner, json!({ "role": "member", "name": "Not A Name" }), "422 invalid | name"),
        (&owner, json!({ "role": "member", "email": "nothing" }), "422 invalid | email"),
        (&owner, json!({ "role": "member", "expires_in_seconds": 0 }), "422 invalid | expires_in_seconds"),
        (
            &owner,
            json!({ "role": "member", "expires_in_seconds": 2_592_001 }),
            "422 invalid | expires_in_seconds",
        ),
        (&owner, json!({}), "422 invalid | role"),
    ] {
        let answer = call(&platform, token, Method::POST, "/api/v1/invitations", Some(body)).await;
        assert!(answer.error().starts_with(start), "{start}: {}", answer.error());
    }
    let list = call(&platform, &owner, Method::GET, "/api/v1/invitations", None).await;
    let text_of_list = String::from_utf8_lossy(&list.body).into_owned();
    for link in &links {
        let secret = link.rsplit('/').next().unwrap();
        assert!(!text_of_list.contains(secret), "only the answer to making it shows it");
    }
    let list = list.json();
    let jo = list.as_array().unwrap().iter().find(|one| one["email"] == "jo@example.com").unwrap();
    assert_eq!((&jo["role"], &jo["created_by"]), (&json!("viewer"), &json!("admin")));
    let others = call(&platform, &stranger, Method::GET, "/api/v1/invitations", None).await.json();
    assert_eq!(others, json!([]));
    let path_of_jo = format!("/api/v1/invitations/{}", jo["id"].as_str().unwrap());
    for (token, status) in [(&stranger, 404), (&owner, 204), (&owner, 404)] {
        let answer = call(&platform, token, Method::DELETE, &path_of_jo, None).await;
        assert_eq!(answer.status.as_u16(), status);
    }
    let browser = Browser::new(&platform);
    assert_eq!(browser.get(&links[1]).await.status, StatusCode::GONE);
    assert_eq!(browser.get(&links[0]).await.status, StatusCode::OK);
    let body = Some(json!({ "role": "member" }));
    let of_admin = path(&name(&platform, &admin).await);
    assert_eq!(call(&platform, &owner, Method::PATCH, &of_admin, body).await.status, StatusCode::OK);
    let late = browser.post(&links[0], &[("name", "eve"), ("password", PASSWORD)]).await;
    assert_eq!(late.status, StatusCode::GONE, "a member makes no admin");
    platform.stop().await;
}

#[tokio::test]
async fn accounts_are_made_by_who_looks_after_the_installation() {
    let platform = Platform::start(nobody()).await;
    let owner = platform.owner.clone();
    let other_owner = platform.person("other", Role::Owner, Life::Good).await;
    let reader = platform.scoped(&owner, &["read"]).await;
    let create = async |token: &str, name: &str| {
        call(&platform, token, Method::POST, "/api/v1/accounts", Some(json!({ "name": name }))).await
    };
    for (token, name, start) in [
        (&other_owner, "mine", "403 forbidden"),
        (&reader, "mine", "403 forbidden"),
        (&owner, "other", "409 conflict | name"),
        (&owner, "Not A Name", "422 invalid | name"),
    ] {
        let answer = create(token, name).await;
        assert!(answer.error().starts_with(start), "{start}: {}", answer.error());
    }
    let made = create(&owner, "research").await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.json()["role"], "owner");
    let list = async |token: &str| {
        let list = call(&platform, token, Method::GET, "/api/v1/accounts", None).await.json();
        let rows = list.as_array().unwrap().clone();
        rows.into_iter().map(|row| (row["name"].clone(), row["role"].clone())).collect::<Vec<_>>()
    };
    let own = |name: &str| (json!(name), json!("owner"));
    assert_eq!(list(&owner).await, [own("default"), (json!("other"), Value::Null), own("research")]);
    assert_eq!(list(&other_owner).await, [own("other")], "nobody else's");
    // It is whole: what is in it is nobody else's.
    let body = json!({ "name": "there", "account": "research" });
    let token = call(&platform, &owner, Method::POST, "/api/v1/tokens", Some(body)).await.json();
    let token = token["secret"].as_str().unwrap();
    let instances = call(&platform, token, Method::GET, "/api/v1/instances", None).await;
    assert_eq!(instances.json(), json!([]));
    let lines = audit_lines(&platform.store, platform.account("research").await, 9).await.unwrap();
    assert!(lines.iter().any(|line| line.action == "account.create"), "{lines:?}");
    platform.stop().await;
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_user_alone() {
    let platform = Platform::start(nobody()).await;
    let owner = platform.owner.clone();
    platform.set_password(&owner, PASSWORD).await;
    let admin = platform.person("default", Role::Admin, Life::Good).await;
    let (one, two) = (Browser::new(&platform), Browser::new(&platform).with("accept-language", "de"));
    one.sign_in("admin", PASSWORD).await;
    two.sign_in("admin", PASSWORD).await;
    let list = async |token: &str| call(&platform, token, Method::GET, "/api/v1/sessions", None).await;
    let rows = list(&owner).await;
    assert!(!String::from_utf8_lossy(&rows.body).contains(&one.cookie("berth_session").unwrap()));
    let rows = rows.json();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!((&rows[0]["method"], &rows[0]["user_agent"]), (&json!("password"), &json!("Test/1")));
    assert_eq!(rows[0]["address"], "127.0.0.1");
    assert_eq!(list(&admin).await.json(), json!([]), "nobody else's, also not an admin's");
    // The second sign-in is the last used.
    let path = format!("/api/v1/sessions/{}", rows[0]["id"].as_str().unwrap());
    let reader = platform.scoped(&owner, &["read"]).await;
    assert_eq!(list(&reader).await.status, StatusCode::FORBIDDEN);
    for (token, status) in [(&admin, 404), (&reader, 403), (&owner, 204)] {
        let answer = call(&platform, token, Method::DELETE, &path, None).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    }
    assert!(!two.is_signed_in().await && one.is_signed_in().await);
    // From the page, too: the other one.
    two.sign_in("admin", PASSWORD).await;
    let mine = one.cookie("berth_session").unwrap();
    let mine = store::sessions::by_hash(&platform.store, &sha256(&mine)).await.unwrap().unwrap().session;
    let ended = two.submit("/you", &format!("/you/sessions/{}/end", mine.id), &[]).await;
    assert_eq!(ended.status, StatusCode::SEE_OTHER, "{}", text(&ended));
    assert!(two.is_signed_in().await && !one.is_signed_in().await);
    assert!(mine.last_seen_at <= now());
    platform.stop().await;
}
