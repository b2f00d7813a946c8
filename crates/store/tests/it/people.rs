//! People who sign in: their passwords, sessions and one-time links.

use api::sessions::SignInMethod;
use api::users::Role;
use domain::ids::{SessionId, SignInLinkId, UserId};
use domain::secret::Secret;
use store::people::{self, PersonRow};
use store::sessions::{self, SessionRow};
use store::{Store, StoreError, sign_in_links};

use crate::{NOW, after, change, on_both_stores, tenant};

fn person(name: &str, email: Option<&str>) -> PersonRow {
    PersonRow {
        id: UserId::generate(),
        name: name.to_owned(),
        email: email.map(str::to_owned),
        password_hash: None,
        is_operator: false,
        created_at: NOW,
    }
}

async fn insert(store: &Store, person: &PersonRow) -> Result<(), StoreError> {
    change(store, async |tx| people::insert(tx, person).await).await
}

#[test]
fn a_person_is_found_by_what_is_theirs_alone() {
    on_both_stores(async |store| {
        let mut mary = person("mary", Some("mary@example.com"));
        insert(&store, &mary).await.unwrap();
        // Two without an address are two.
        insert(&store, &person("jo", None)).await.unwrap();
        insert(&store, &person("al", None)).await.unwrap();
        for (other, field) in
            [(person("mary", None), "name"), (person("mary2", Some("mary@example.com")), "email")]
        {
            let error = insert(&store, &other).await.unwrap_err();
            assert!(matches!(&error, StoreError::Taken { field: of, .. } if *of == field), "{error:?}");
        }
        let hash = Secret::new("$argon2id$x");
        change(&store, async |tx| people::set_password(tx, mary.id, &hash).await).await.unwrap();
        change(&store, async |tx| people::set_operator(tx, mary.id, true).await).await.unwrap();
        (mary.password_hash, mary.is_operator) = (Some(hash.clone()), true);
        assert!(!format!("{mary:?}").contains("argon2id"), "a hash is no text for logs");
        assert_eq!(people::by_id(&store, mary.id).await.unwrap(), Some(mary.clone()));
        assert_eq!(people::by_name(&store, "mary").await.unwrap(), Some(mary.clone()));
        assert_eq!(people::by_email(&store, "mary@example.com").await.unwrap(), Some(mary.clone()));
        assert_eq!(people::by_email(&store, "Mary@example.com").await.unwrap(), None);
        assert_eq!(people::operators(&store).await.unwrap(), [mary]);
        let nobody = UserId::generate();
        let error =
            change(&store, async |tx| people::set_password(tx, nobody, &hash).await).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { what: "user" }), "{error:?}");
    });
}

#[test]
fn a_person_is_in_their_accounts() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        change(&store, async |tx| {
            store::accounts::add_member(tx, beta.account.id, acme.owner.id, Role::Viewer, NOW).await
        })
        .await
        .unwrap();
        let found = people::memberships(&store, acme.owner.id).await.unwrap();
        let found: Vec<(&str, Role)> = found.iter().map(|m| (m.account_name.as_str(), m.role)).collect();
        assert_eq!(found, [("acme", Role::Owner), ("beta", Role::Viewer)]);
        let ids = change(&store, async |tx| people::accounts_of(tx, acme.owner.id).await).await.unwrap();
        assert_eq!(ids.len(), 2);
        assert_eq!(people::memberships(&store, beta.owner.id).await.unwrap().len(), 1);
    });
}

fn session(user: UserId) -> SessionRow {
    SessionRow {
        id: SessionId::generate(),
        user,
        method: SignInMethod::Link,
        user_agent: Some("Browser/1 \u{1f600}".to_owned()),
        address: None,
        created_at: NOW,
        last_seen_at: NOW,
        expires_at: after(60),
        ended_at: None,
    }
}

#[test]
fn sessions_are_of_one_user_and_end() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let rows = [session(acme.owner.id), session(acme.owner.id), session(beta.owner.id)];
        for (row, hash) in rows.iter().zip(["h0", "h1", "h2"]) {
            change(&store, async |tx| sessions::insert(tx, row, hash).await).await.unwrap();
        }
        let holder = sessions::by_hash(&store, "h0").await.unwrap().unwrap();
        assert_eq!((holder.session, holder.user_name), (rows[0].clone(), acme.owner.name.clone()));
        assert_eq!(sessions::by_hash(&store, "H0").await.unwrap(), None);

        for (at, seen) in [(after(5), after(5)), (after(3), after(5))] {
            change(&store, async |tx| sessions::touch(tx, rows[1].id, at).await).await.unwrap();
            assert_eq!(sessions::by_hash(&store, "h1").await.unwrap().unwrap().session.last_seen_at, seen);
        }
        let ids = async |user| {
            let rows = sessions::list(&store, user).await.unwrap();
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(acme.owner.id).await, [rows[1].id, rows[0].id], "the last used first");

        let end = async |user, id, at| change(&store, async |tx| sessions::end(tx, user, id, at).await).await;
        let error = end(beta.owner.id, rows[0].id, after(1)).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { what: "session" }), "another's: {error:?}");
        for at in [after(2), after(3)] {
            end(acme.owner.id, rows[0].id, at).await.unwrap();
            let ended = sessions::by_hash(&store, "h0").await.unwrap().unwrap().session.ended_at;
            assert_eq!(ended, Some(after(2)), "it keeps its time");
        }
        assert_eq!(ids(acme.owner.id).await, [rows[1].id]);

        let more = session(acme.owner.id);
        change(&store, async |tx| sessions::insert(tx, &more, "h3").await).await.unwrap();
        let ended =
            change(&store, async |tx| sessions::end_others(tx, acme.owner.id, Some(more.id), after(4)).await);
        assert_eq!(ended.await.unwrap(), 1);
        assert_eq!((ids(acme.owner.id).await, ids(beta.owner.id).await.len()), (vec![more.id], 1));
        change(&store, async |tx| sessions::end_by_hash(tx, "h3", after(5)).await).await.unwrap();
        assert_eq!(ids(acme.owner.id).await, []);

        change(&store, async |tx| sessions::prune(tx, after(3)).await).await.unwrap();
        let left = [("h0", false), ("h1", true), ("h2", false), ("h3", false)];
        for (hash, is_there) in left {
            assert_eq!(sessions::by_hash(&store, hash).await.unwrap().is_some(), is_there, "{hash}");
        }
    });
}

#[test]
fn a_link_is_used_once_and_in_time() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let user = acme.owner.id;
        for (hash, end) in [("h1", after(60)), ("h2", after(10))] {
            change(&store, async |tx| {
                sign_in_links::insert(tx, SignInLinkId::generate(), user, hash, NOW, end).await
            })
            .await
            .unwrap();
        }
        let redeem =
            async |hash, at| change(&store, async |tx| sign_in_links::redeem(tx, hash, at).await).await;
        assert_eq!(sign_in_links::look(&store, "h1", after(1)).await.unwrap(), Some(user));
        assert_eq!(redeem("h1", after(1)).await.unwrap(), Some(user));
        assert_eq!(redeem("h1", after(2)).await.unwrap(), None);
        assert_eq!(sign_in_links::look(&store, "h1", after(2)).await.unwrap(), None);
        assert_eq!(redeem("h2", after(10)).await.unwrap(), None, "too late");
        assert_eq!(sign_in_links::look(&store, "h2", after(10)).await.unwrap(), None);
        assert_eq!(sign_in_links::look(&store, "h2", after(9)).await.unwrap(), Some(user));
        assert_eq!(redeem("h3", after(1)).await.unwrap(), None);
    });
}
