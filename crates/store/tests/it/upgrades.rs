//! Hosts that are changed to another binary, in waves.

use domain::ids::{InstanceId, UpgradeId};
use domain::waves::HostState;
use store::StoreError;
use store::upgrades::{self, HostRow, UpgradeRow, UpgradeState};

use crate::{NOW, Tenant, after, change, environment, on_both_stores, tenant};

fn upgrade(of: &Tenant, hosts: &[&store::environments::EnvironmentRow]) -> UpgradeRow {
    let host = |(wave, environment): (usize, &&store::environments::EnvironmentRow)| HostRow {
        environment: environment.id,
        wave,
        state: HostState::Waiting,
        since: NOW,
        running: Vec::new(),
        message: None,
    };
    UpgradeRow {
        id: UpgradeId::generate(),
        account: of.account.id,
        program: "ab".repeat(32).parse().unwrap(),
        version: "1.2.3".to_owned(),
        state: UpgradeState::Running,
        message: None,
        created_at: NOW,
        ended_at: None,
        hosts: hosts.iter().enumerate().map(host).collect(),
    }
}

#[test]
fn one_is_under_way_in_an_account_at_a_time_and_each_step_is_one_s_alone() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let far = environment(&acme.account, "far");
        change(&store, async |tx| store::environments::insert(tx, &far, None).await).await.unwrap();
        // Their order is that of the waves, whatever their ids are.
        let mut row = upgrade(&acme, &[&far, &acme.environment]);
        change(&store, async |tx| upgrades::insert(tx, &row).await).await.unwrap();
        let second = UpgradeRow { created_at: after(1), ..upgrade(&acme, &[&far]) };
        let refused = change(&store, async |tx| upgrades::insert(tx, &second).await).await;
        assert!(matches!(refused, Err(StoreError::Taken { field: "upgrade", .. })), "{refused:?}");
        let others = upgrade(&beta, &[&beta.environment]);
        change(&store, async |tx| upgrades::insert(tx, &others).await).await.unwrap();
        assert_eq!(upgrades::list(&store, acme.account.id, 10).await.unwrap(), std::slice::from_ref(&row));
        assert_eq!(upgrades::list_running(&store).await.unwrap().len(), 2, "of every account");

        // Whoever comes second finds that it is no longer as it was, and changes nothing.
        let started = HostRow {
            state: HostState::Started,
            since: after(2),
            running: vec![InstanceId::generate(), InstanceId::generate()],
            message: Some("it is sent".to_owned()),
            ..row.hosts[0].clone()
        };
        let late = HostRow { message: Some("late".to_owned()), ..started.clone() };
        for (to, is_first) in [(&started, true), (&late, false)] {
            let set = change(&store, async |tx| upgrades::set_host(tx, row.id, HostState::Waiting, to).await);
            assert_eq!(set.await.unwrap(), is_first);
        }
        row.hosts[0] = started;
        assert_eq!(upgrades::list(&store, acme.account.id, 10).await.unwrap(), std::slice::from_ref(&row));

        // What is over stays as it ended, and makes room for the next.
        for (state, message, at) in
            [(UpgradeState::Failed, Some("one could not"), 9), (UpgradeState::Done, None, 10)]
        {
            change(&store, async |tx| upgrades::end(tx, row.id, state, message, after(at)).await)
                .await
                .unwrap();
        }
        row = UpgradeRow {
            state: UpgradeState::Failed,
            message: Some("one could not".to_owned()),
            ended_at: Some(after(9)),
            ..row
        };
        change(&store, async |tx| upgrades::insert(tx, &second).await).await.unwrap();
        assert_eq!(upgrades::list(&store, acme.account.id, 10).await.unwrap(), [second.clone(), row.clone()]);
        assert_eq!(upgrades::list(&store, acme.account.id, 1).await.unwrap(), std::slice::from_ref(&second));

        // A host that is no more is in none.
        change(&store, async |tx| store::environments::remove(tx, far.id).await).await.unwrap();
        let left = upgrades::list(&store, acme.account.id, 10).await.unwrap();
        let waves = |row: &UpgradeRow| row.hosts.iter().map(|host| host.wave).collect::<Vec<_>>();
        assert_eq!(left.iter().map(waves).collect::<Vec<_>>(), [vec![], vec![1]]);
        assert_eq!(upgrades::list(&store, beta.account.id, 10).await.unwrap(), [others]);
    });
}
