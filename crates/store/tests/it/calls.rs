//! The audit of calls.

use api::audit::CallOutcome;
use domain::ids::{AccountId, CallId, InstanceId};
use domain::time::Timestamp;
use store::calls::{self, CallRow, Wanted};

use crate::{NOW, after, change, on_both_stores, tenant};

fn line(account: AccountId, instance: &str, at: Timestamp) -> CallRow {
    CallRow {
        id: CallId::generate(),
        account,
        at,
        took: 1234,
        actor: "user:1".to_owned(),
        credential: Some("token:1".to_owned()),
        instance_id: Some(InstanceId::generate()),
        instance: instance.to_owned(),
        method: "tools/call".to_owned(),
        name: Some("echo".to_owned()),
        result: CallOutcome::Ok,
        status: 200,
        arguments: None,
    }
}

#[test]
fn lines_are_the_accounts_own_newest_first_and_chosen() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await.account.id);
        let id = acme.account.id;
        let mine = format!("user:{}", acme.owner.id);
        let lines = [
            line(id, "a", NOW),
            CallRow { method: "tools/list".to_owned(), name: None, actor: mine, ..line(id, "a", after(1)) },
            CallRow {
                result: CallOutcome::Refused,
                status: 503,
                instance_id: None,
                ..line(id, "b", after(2))
            },
            CallRow { credential: None, name: Some("odd_name".to_owned()), ..line(id, "b", after(3)) },
        ];
        let foreign = line(beta, "a", after(4));
        let all: Vec<CallRow> = lines.iter().chain([&foreign]).cloned().collect();
        change(&store, async |tx| calls::append(tx, &all).await).await.unwrap();
        let check = async |wanted: Wanted<'_>, expected: &[usize]| {
            let found = calls::list(&store, id, &Wanted { limit: 9, ..wanted.clone() }).await.unwrap();
            let expected: Vec<(CallRow, Option<String>)> = expected
                .iter()
                .map(|&at| (lines[at].clone(), (at == 1).then(|| acme.owner.name.clone())))
                .collect();
            assert_eq!(found, expected, "{wanted:?}");
        };
        let all = Wanted::default();
        let of_a = lines[0].instance_id.unwrap().to_string();
        check(all.clone(), &[3, 2, 1, 0]).await;
        check(Wanted { since: Some(after(2)), ..all.clone() }, &[3, 2]).await;
        check(Wanted { instance: Some("a"), ..all.clone() }, &[1, 0]).await;
        check(Wanted { instance: Some(&of_a), ..all.clone() }, &[0]).await;
        check(Wanted { method: Some("tools/l"), ..all.clone() }, &[1]).await;
        check(Wanted { name: Some("echo"), ..all.clone() }, &[2, 0]).await;
        check(Wanted { by: Some("acme-owner"), ..all.clone() }, &[1]).await;
        check(Wanted { by: Some("token:1"), ..all.clone() }, &[2, 1, 0]).await;
        check(Wanted { result: Some(CallOutcome::Refused), ..all.clone() }, &[2]).await;
        check(Wanted { after: Some(lines[2].id), ..all.clone() }, &[1, 0]).await;
        check(Wanted { after: Some(foreign.id), ..all.clone() }, &[3, 2, 1, 0]).await;
        let two = calls::list(&store, id, &Wanted { limit: 2, ..all.clone() }).await.unwrap();
        assert_eq!(two.len(), 2);
        assert!(!change(&store, async |tx| calls::prune(tx, after(2)).await).await.unwrap());
        check(all, &[3, 2]).await;
    });
}

#[test]
fn thousands_of_lines_are_one_transaction_and_whatever_callers_wrote_is_kept() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await.account.id;
        let mut lines: Vec<CallRow> = (0..1203).map(|n| line(acme, "a", after(n))).collect();
        lines[7].name = Some("a\u{0}b".to_owned());
        lines[8].arguments = Some("{\"x\":\"\u{1f600}\"}".to_owned());
        change(&store, async |tx| calls::append(tx, &lines).await).await.unwrap();
        let found = calls::list(&store, acme, &Wanted { limit: 2000, ..Wanted::default() }).await.unwrap();
        assert_eq!(found.len(), lines.len());
        assert_eq!(found[lines.len() - 8].0.name.as_deref(), Some("a\u{fffd}b"));
        assert_eq!(found[lines.len() - 9].0, lines[8]);
        change(&store, async |tx| calls::append(tx, &[]).await).await.unwrap();
    });
}
