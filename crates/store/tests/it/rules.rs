//! An account's rules.

use api::rules::Subject;
use api::users::Role;
use domain::ids::{AccountId, RuleId, TokenId, UserId};
use domain::rules::{Clause, Effect, Hint, What};
use store::StoreError;
use store::rules::{self, RuleRow};

use crate::{after, change, on_both_stores, tenant};

fn rule(account: AccountId, seconds: i64, subject: Subject) -> RuleRow {
    let clause = Clause {
        effect: Effect::Deny,
        instance: Some("github".parse().unwrap()),
        what: What::Tool,
        pattern: "löschen_*\\%'\u{1f600}".to_owned(),
        hint: Some(Hint::Destructive),
    };
    let id = RuleId::generate();
    RuleRow { id, account, subject, clause, created_by: "user:1".to_owned(), created_at: after(seconds) }
}

#[test]
fn they_are_kept_as_they_are_each_in_its_account() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await.account.id, tenant(&store, "beta").await.account.id);
        let bare = Clause {
            effect: Effect::Allow,
            instance: None,
            what: What::Everything,
            pattern: "*".to_owned(),
            hint: None,
        };
        let subjects = [
            Subject::Everyone,
            Subject::Role(Role::Viewer),
            Subject::User(UserId::generate()),
            Subject::Token(TokenId::generate()),
            Subject::Client("https://client.example/ä.json".to_owned()),
        ];
        let mut rows: Vec<RuleRow> =
            (0..).zip(subjects).map(|(at, subject)| rule(acme, at, subject)).collect();
        rows.push(RuleRow { clause: bare, ..rule(acme, 9, Subject::Everyone) });
        let theirs = rule(beta, 0, Subject::Everyone);
        change(&store, async |tx| {
            for row in rows.iter().rev().chain([&theirs]) {
                rules::insert(tx, row).await?;
            }
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(rules::list(&store, acme).await.unwrap(), rows);
        assert_eq!(rules::list_all(&store).await.unwrap().len(), rows.len() + 1);

        let foreign = change(&store, async |tx| rules::remove(tx, acme, theirs.id).await).await;
        assert!(matches!(foreign, Err(StoreError::NotFound { .. })), "{foreign:?}");
        let gone = change(&store, async |tx| rules::remove(tx, beta, theirs.id).await).await.unwrap();
        assert_eq!(gone, theirs);
        assert_eq!(rules::list(&store, beta).await.unwrap(), []);
        let again = change(&store, async |tx| rules::remove(tx, beta, theirs.id).await).await;
        assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");

        let mut wrong = rule(acme, 0, Subject::Everyone);
        wrong.clause.pattern = "a\0".to_owned();
        let refused = change(&store, async |tx| rules::insert(tx, &wrong).await).await;
        assert!(matches!(refused, Err(StoreError::Invalid { field: "pattern", .. })), "{refused:?}");
    });
}
