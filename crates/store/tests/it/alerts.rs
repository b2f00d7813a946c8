//! What is broken, and what is to be said of it.

use domain::alerts::{AlertKind, Trouble};
use domain::ids::AlertId;
use store::alerts::deliveries::{self, Said, Tried};
use store::alerts::{self, AlertRow};

use crate::{NOW, after, change, on_both_stores, tenant};

#[test]
fn a_trouble_is_told_and_healed_once_by_whoever_was_first() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let row = AlertRow {
            id: AlertId::generate(),
            account: acme.account.id,
            kind: AlertKind::EnvironmentUnresponsive,
            subject: acme.environment.id.to_string(),
            subject_name: "far".to_owned(),
            environment_name: None,
            message: "it is silent".to_owned(),
            trouble: Trouble { broken_since: NOW, well_since: None, told_at: None },
            healed_at: None,
        };
        assert!(change(&store, async |tx| alerts::open(tx, &row).await).await.unwrap());
        let again = AlertRow { id: AlertId::generate(), ..row.clone() };
        assert!(!change(&store, async |tx| alerts::open(tx, &again).await).await.unwrap());
        assert_eq!(alerts::list_open(&store).await.unwrap(), std::slice::from_ref(&row));
        assert!(alerts::list(&store, acme.account.id, 10).await.unwrap().is_empty(), "nobody was told");
        assert!(!change(&store, async |tx| alerts::heal(tx, row.id, after(1)).await).await.unwrap());

        let told = Trouble { told_at: Some(after(60)), ..row.trouble };
        for is_first in [true, false] {
            let changed = change(&store, async |tx| alerts::advance(tx, &row, told, "still").await).await;
            assert_eq!(changed.unwrap(), is_first);
        }
        let receivers = ["one".to_owned(), "two".to_owned()];
        for _ in 0..2 {
            change(&store, async |tx| deliveries::queue_broken(tx, row.id, &receivers, after(60)).await)
                .await
                .unwrap();
        }
        change(&store, async |tx| alerts::forget(tx, row.id).await).await.unwrap();
        for is_first in [true, false] {
            assert_eq!(
                change(&store, async |tx| alerts::heal(tx, row.id, after(90)).await).await.unwrap(),
                is_first
            );
        }
        change(&store, async |tx| deliveries::queue_healed(tx, row.id, after(90)).await).await.unwrap();
        let listed = alerts::list(&store, acme.account.id, 10).await.unwrap();
        assert_eq!((listed.len(), listed[0].undelivered, listed[0].row.healed_at), (1, 4, Some(after(90))));
        assert_eq!(listed[0].row.message, "still");
        assert!(alerts::list(&store, beta.account.id, 10).await.unwrap().is_empty(), "another account's");
        assert!(alerts::list_open(&store).await.unwrap().is_empty());

        // What comes first is said first, and each try is one's alone.
        let due = deliveries::pending(&store).await.unwrap();
        let names: Vec<_> = due.iter().map(|d| (d.receiver.as_str(), d.said)).collect();
        assert_eq!(names, [("one", Said::Broken), ("two", Said::Broken)]);
        for is_first in [true, false] {
            let claimed = change(&store, async |tx| deliveries::claim(tx, &due[0], after(200)).await).await;
            assert_eq!(claimed.unwrap(), is_first);
        }
        change(&store, async |tx| deliveries::note(tx, &due[0], &Tried::Taken, after(100)).await)
            .await
            .unwrap();
        let later = Tried::Later(after(130), "it is down".to_owned());
        change(&store, async |tx| deliveries::note(tx, &due[1], &later, after(100)).await).await.unwrap();
        let due = deliveries::pending(&store).await.unwrap();
        let mut names: Vec<_> = due.iter().map(|d| (d.receiver.as_str(), d.said, d.next_try_at)).collect();
        names.sort_by_key(|(receiver, ..)| *receiver);
        assert_eq!(names, [("one", Said::Healed, after(90)), ("two", Said::Broken, after(130))]);
        let listed = alerts::list(&store, acme.account.id, 10).await.unwrap();
        assert_eq!((listed[0].undelivered, listed[0].delivery_trouble.as_deref()), (3, Some("it is down")));

        // Another trouble of the same subject is a row of its own; what is long over goes.
        assert!(change(&store, async |tx| alerts::open(tx, &again).await).await.unwrap());
        let pruned = change(&store, async |tx| alerts::prune(tx, after(91)).await).await.unwrap();
        assert_eq!((pruned, alerts::list_open(&store).await.unwrap().len()), (1, 1));
        assert!(deliveries::pending(&store).await.unwrap().is_empty());
    });
}
