//! Metrics: rows are written whole, read by instance and by account, and go with their instance and with time.

use domain::ids::InstanceId;
use domain::measure::Measure;
use domain::time::Timestamp;
use store::metrics::{self, MetricsRow, Step};
use store::{Store, instances};

use crate::instances::instance;
use crate::{NOW, after, change, on_both_stores, tenant};

fn measure(calls: u64) -> Measure {
    let mut measure = Measure { calls, errors: 1, refused: 2, ..Measure::default() };
    measure.sample(1 << 40, Some(1500));
    measure.sample(1, None);
    measure.took.add(5000);
    measure
}

fn row(instance: InstanceId, step: Step, at: Timestamp, writer: &str, calls: u64) -> MetricsRow {
    MetricsRow { instance, step, at, writer: writer.to_owned(), measure: measure(calls) }
}

async fn minutes(store: &Store, id: InstanceId, since: Timestamp) -> Vec<MetricsRow> {
    metrics::of_instance(store, id, Step::Minute, since).await.unwrap()
}

#[test]
fn rows_are_written_whole_and_read_back() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let (mine, theirs) = (instance(&acme, "a"), instance(&beta, "a"));
        change(&store, async |tx| {
            instances::insert(tx, &mine).await?;
            instances::insert(tx, &theirs).await
        })
        .await
        .unwrap();
        let first = row(mine.id, Step::Minute, NOW, "one", 3);
        let rows = [
            first.clone(),
            row(mine.id, Step::Minute, NOW, "two", 4),
            row(mine.id, Step::Minute, after(60), "one", 5),
            row(mine.id, Step::Hour, NOW, "one", 8),
            row(theirs.id, Step::Minute, NOW, "one", 9),
            // Of an instance that is gone, nothing is kept, and the others are.
            row(InstanceId::generate(), Step::Minute, NOW, "one", 7),
        ];
        change(&store, async |tx| metrics::put(tx, &rows).await).await.unwrap();
        assert_eq!(minutes(&store, mine.id, NOW).await, rows[..3]);
        assert_eq!(minutes(&store, mine.id, after(1)).await, rows[2..3]);
        let hours = metrics::of_instance(&store, mine.id, Step::Hour, NOW).await.unwrap();
        assert_eq!(hours, rows[3..4]);
        let mut of_account = metrics::of_account(&store, acme.account.id, Step::Minute, NOW).await.unwrap();
        of_account.sort_by(|a, b| (a.at, &a.writer).cmp(&(b.at, &b.writer)));
        assert_eq!(of_account, rows[..3]);

        // Written again, a row is what it is now, not the sum.
        let later = row(mine.id, Step::Minute, NOW, "one", 6);
        for _ in 0..2 {
            change(&store, async |tx| metrics::put(tx, std::slice::from_ref(&later)).await).await.unwrap();
        }
        assert_eq!(minutes(&store, mine.id, NOW).await[0], later);

        change(&store, async |tx| metrics::prune(tx, Step::Minute, after(60)).await).await.unwrap();
        assert_eq!(minutes(&store, mine.id, Timestamp(0)).await, rows[2..3]);
        let hours = metrics::of_instance(&store, mine.id, Step::Hour, NOW).await.unwrap();
        assert_eq!(hours.len(), 1, "hours are kept for longer");

        change(&store, async |tx| {
            instances::mark_deleting(tx, acme.account.id, &mine.name, NOW).await?;
            instances::delete(tx, mine.id).await
        })
        .await
        .unwrap();
        assert!(minutes(&store, mine.id, Timestamp(0)).await.is_empty());
    });
}

#[test]
fn thousands_of_rows_are_one_transaction() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let mine = instance(&acme, "a");
        change(&store, async |tx| instances::insert(tx, &mine).await).await.unwrap();
        let rows: Vec<MetricsRow> =
            (0..1203).map(|n| row(mine.id, Step::Minute, after(n * 60), "one", 1)).collect();
        change(&store, async |tx| metrics::put(tx, &rows).await).await.unwrap();
        assert_eq!(minutes(&store, mine.id, NOW).await, rows);
        change(&store, async |tx| metrics::put(tx, &[]).await).await.unwrap();
    });
}
