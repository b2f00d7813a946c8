//! Agents: their tokens, and what they may call.

use domain::ids::{
    AgentCredentialId, AgentId, AgentTokenId, CapabilityPermissionId, ServerAccessId, ToolboxAccessId,
};
use domain::toolbelts::{AccessLevel, CredentialStatus};
use store::agents::{
    self, AgentRow, AgentTokenRow, CredentialRow, PermissionRow, ServerAccessRow, ToolboxAccessRow,
};
use store::toolbelts::{self, ItemRow, ToolbeltRow};
use store::{Store, StoreError};

use crate::toolbelts::{add, insert, item, kept, toolbelt};
use crate::{Tenant, after, change, environment, on_both_stores, tenant};

fn agent(of: &Tenant, name: &str) -> AgentRow {
    AgentRow {
        id: AgentId::generate(),
        account: of.account.id,
        name: name.parse().unwrap(),
        description: Some("schreibt ' \u{1f600}".to_owned()),
        created_by: Some(of.owner.id),
        created_at: after(1),
        updated_at: after(1),
    }
}

/// An agent with its toolbelt.
async fn made(store: &Store, of: &Tenant, name: &str) -> (AgentRow, ToolbeltRow) {
    let row = agent(of, name);
    change(store, async |tx| agents::insert(tx, &row).await).await.unwrap();
    let belt = ToolbeltRow { agent: Some(row.id), ..toolbelt(of, name) };
    insert(store, &belt).await.unwrap();
    (row, belt)
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over what they got")]
fn refused<T: std::fmt::Debug>(found: Result<T, StoreError>) {
    assert!(matches!(found, Err(StoreError::NotFound { .. })), "{found:?}");
}

#[test]
fn each_account_has_its_own() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let (row, belt) = made(&store, &acme, "writer").await;
        let (theirs, _) = made(&store, &beta, "writer").await;
        let taken = change(&store, async |tx| agents::insert(tx, &agent(&acme, "writer")).await).await;
        assert!(matches!(taken, Err(StoreError::Taken { field: "name", .. })), "{taken:?}");
        let second = ToolbeltRow { agent: Some(row.id), ..toolbelt(&acme, "second") };
        let taken = insert(&store, &second).await;
        assert!(matches!(taken, Err(StoreError::Taken { field: "agent_id", .. })), "{taken:?}");

        assert_eq!(agents::list(&store, acme.account.id).await.unwrap(), std::slice::from_ref(&row));
        assert_eq!(agents::by_name(&store, acme.account.id, &row.name).await.unwrap().as_ref(), Some(&row));
        assert_eq!(agents::by_id(&store, acme.account.id, row.id).await.unwrap().as_ref(), Some(&row));
        assert_eq!(agents::by_id(&store, beta.account.id, row.id).await.unwrap(), None);
        assert_eq!(toolbelts::of_agent(&store, row.id).await.unwrap(), Some(belt));

        let name = "author".parse().unwrap();
        let rename = async |account| {
            change(&store, async |tx| agents::update(tx, account, row.id, (&name, None), after(5)).await)
                .await
        };
        refused(rename(beta.account.id).await);
        let renamed = rename(acme.account.id).await.unwrap();
        let expected =
            AgentRow { name: name.clone(), description: None, updated_at: after(5), ..row.clone() };
        assert_eq!(renamed, expected);

        let remove =
            async |account| change(&store, async |tx| agents::remove(tx, account, row.id).await).await;
        refused(remove(beta.account.id).await);
        assert_eq!(remove(acme.account.id).await.unwrap(), renamed);
        assert_eq!(toolbelts::list(&store, acme.account.id).await.unwrap(), []);
        assert_eq!(agents::list(&store, beta.account.id).await.unwrap(), [theirs]);
    });
}

#[test]
fn tokens() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let ((row, _), (other, _)) =
            (made(&store, &acme, "writer").await, made(&store, &acme, "reader").await);
        let token = |second| AgentTokenRow {
            id: AgentTokenId::generate(),
            agent: row.id,
            name: format!("ä{second}"),
            prefix: "berth_agent_abc".to_owned(),
            created_at: after(second),
            expires_at: Some(after(100)),
            last_used_at: None,
            revoked_at: None,
        };
        let (first, second) = (token(1), token(2));
        change(&store, async |tx| {
            agents::insert_token(tx, &first, "hash-1").await?;
            agents::insert_token(tx, &second, "hash-2").await
        })
        .await
        .unwrap();
        let stray = AgentTokenRow { agent: AgentId::generate(), ..token(3) };
        refused(change(&store, async |tx| agents::insert_token(tx, &stray, "hash-3").await).await);
        assert_eq!(agents::tokens(&store, row.id).await.unwrap(), [second.clone(), first.clone()]);
        assert_eq!(agents::token_by_hash(&store, "hash").await.unwrap(), None);
        let holder = agents::token_by_hash(&store, "hash-1").await.unwrap().unwrap();
        assert_eq!((&holder.token, &holder.agent), (&first, &row));
        assert_eq!(holder.account_name, acme.account.name);

        change(&store, async |tx| {
            agents::touch_token(tx, first.id, after(9)).await?;
            agents::touch_token(tx, first.id, after(8)).await
        })
        .await
        .unwrap();
        let revoke = async |agent, at| {
            change(&store, async |tx| agents::revoke_token(tx, agent, first.id, at).await).await
        };
        refused(revoke(other.id, after(10)).await);
        revoke(row.id, after(10)).await.unwrap();
        let expected =
            AgentTokenRow { last_used_at: Some(after(9)), revoked_at: Some(after(10)), ..first.clone() };
        assert_eq!(revoke(row.id, after(11)).await.unwrap(), expected);
        change(&store, async |tx| agents::remove(tx, acme.account.id, row.id).await).await.unwrap();
        assert_eq!(agents::token_by_hash(&store, "hash-2").await.unwrap(), None);
    });
}

#[test]
fn environments_of_an_agent() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let (row, belt) = made(&store, &acme, "writer").await;
        let (one, two) = (kept(&store, &acme, "one").await, kept(&store, &acme, "two").await);
        let elsewhere = environment(&acme.account, "elsewhere");
        change(&store, async |tx| store::environments::insert(tx, &elsewhere, None).await).await.unwrap();
        let access = |environment: &store::environments::EnvironmentRow, second| ToolboxAccessRow {
            id: ToolboxAccessId::generate(),
            agent: row.id,
            environment: environment.id,
            environment_name: environment.name.clone(),
            granted_at: after(second),
        };
        let grant = async |access: ToolboxAccessRow| {
            change(&store, async |tx| agents::grant_toolbox(tx, &access).await).await
        };
        refused(grant(access(&beta.environment, 1)).await);
        let first = grant(access(&acme.environment, 1)).await.unwrap();
        assert_eq!(grant(access(&acme.environment, 2)).await.unwrap(), first, "the first stands");
        let further = grant(access(&elsewhere, 3)).await.unwrap();
        assert_eq!(agents::toolboxes(&store, row.id).await.unwrap(), [further, first]);
        let has = async |environment| {
            change(&store, async |tx| agents::has_toolbox(tx, row.id, environment).await).await.unwrap()
        };
        assert_eq!([has(elsewhere.id).await, has(beta.environment.id).await], [true, false]);

        for (at, instance) in (1..).zip([&one, &two]) {
            add(&store, &item(&belt, instance, at)).await.unwrap();
        }
        let revoke = async |environment| {
            change(&store, async |tx| agents::revoke_toolbox(tx, row.id, environment, after(9)).await).await
        };
        assert_eq!(revoke(elsewhere.id).await.unwrap(), []);
        let before = toolbelts::by_id(&store, belt.id).await.unwrap().unwrap().generation;
        assert_eq!(revoke(acme.environment.id).await.unwrap().len(), 2);
        refused(revoke(acme.environment.id).await);
        let items: Vec<ItemRow> = toolbelts::items(&store, belt.id).await.unwrap();
        assert_eq!(items.iter().map(|item| item.is_active).collect::<Vec<_>>(), [false, false]);
        assert_eq!(toolbelts::by_id(&store, belt.id).await.unwrap().unwrap().generation, before + 1);
    });
}

#[test]
fn what_an_agent_brings() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let ((row, belt), (other, other_belt)) =
            (made(&store, &acme, "writer").await, made(&store, &acme, "reader").await);
        let (one, foreign) = (kept(&store, &acme, "one").await, kept(&store, &beta, "one").await);
        let (member, others) = (item(&belt, &one, 1), item(&other_belt, &one, 1));
        for row in [&member, &others] {
            add(&store, row).await.unwrap();
        }

        let credential = |second, status| CredentialRow {
            id: AgentCredentialId::generate(),
            item: member.id,
            credential_type: "api_key".to_owned(),
            sealed: "1.b25l".to_owned(),
            account_identifier: Some("mary@ä".to_owned()),
            last_validated_at: None,
            status,
            created_at: after(second),
            updated_at: after(second),
        };
        let (active, revoked) =
            (credential(1, CredentialStatus::Active), credential(2, CredentialStatus::Revoked));
        change(&store, async |tx| {
            agents::insert_credential(tx, &active).await?;
            agents::insert_credential(tx, &revoked).await
        })
        .await
        .unwrap();
        assert_eq!(agents::credentials(&store, member.id).await.unwrap(), [active.clone(), revoked.clone()]);
        let brought =
            async |agent, instance| agents::credentials_of_caller(&store, agent, instance).await.unwrap();
        assert_eq!(brought(row.id, one.id).await, std::slice::from_ref(&active));
        assert_eq!(brought(other.id, one.id).await, []);
        assert_eq!(brought(row.id, foreign.id).await, []);
        let hide = async |is_active| {
            change(&store, async |tx| {
                toolbelts::set_active(tx, belt.id, member.id, is_active, after(3)).await
            })
            .await
            .unwrap();
        };
        hide(false).await;
        assert_eq!(brought(row.id, one.id).await, []);
        hide(true).await;
        let all = agents::credentials_of_instance(&store, one.id).await.unwrap();
        assert_eq!(
            (all.len(), agents::credentials_of_instance(&store, foreign.id).await.unwrap()),
            (2, vec![])
        );
        let forget = async |item| {
            change(&store, async |tx| agents::remove_credential(tx, item, active.id).await).await
        };
        refused(forget(others.id).await);
        assert_eq!(forget(member.id).await.unwrap(), active);
    });
}

#[test]
fn what_an_agent_may_call() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let ((row, belt), (other, other_belt)) =
            (made(&store, &acme, "writer").await, made(&store, &acme, "reader").await);
        let (one, foreign) = (kept(&store, &acme, "one").await, kept(&store, &beta, "one").await);
        let (member, others) = (item(&belt, &one, 1), item(&other_belt, &one, 1));
        for row in [&member, &others] {
            add(&store, row).await.unwrap();
        }

        let permission = |name: &str, is_allowed, second| PermissionRow {
            id: CapabilityPermissionId::generate(),
            item: member.id,
            capability_name: name.to_owned(),
            is_allowed,
            created_at: after(second),
            updated_at: after(second),
        };
        let say = async |row: PermissionRow| {
            change(&store, async |tx| agents::set_permission(tx, &row).await).await.unwrap()
        };
        let echo = say(permission("echo", true, 1)).await;
        let denied = say(permission("echo", false, 2)).await;
        assert_eq!(denied, PermissionRow { is_allowed: false, updated_at: after(2), ..echo });
        let add = say(permission("add", true, 3)).await;
        assert_eq!(agents::permissions(&store, member.id).await.unwrap(), [add.clone(), denied.clone()]);
        assert_eq!(agents::permissions_of_toolbelt(&store, belt.id).await.unwrap(), [add, denied]);
        assert_eq!(agents::permissions_of_toolbelt(&store, other_belt.id).await.unwrap(), []);
        let forget = async |item| {
            change(&store, async |tx| agents::remove_permission(tx, item, "echo").await).await.unwrap()
        };
        assert_eq!([forget(others.id).await, forget(member.id).await], [false, true]);

        let access = |instance: &store::instances::InstanceRow, level| ServerAccessRow {
            id: ServerAccessId::generate(),
            agent: row.id,
            instance: instance.id,
            instance_name: instance.name.clone(),
            granted_by: Some(acme.owner.id),
            level,
            allowed_tools: Some(vec!["ä".to_owned()]),
            granted_at: after(1),
            expires_at: Some(after(50)),
            is_active: true,
            created_at: after(1),
            updated_at: after(1),
        };
        let grant = async |row: &ServerAccessRow| {
            change(&store, async |tx| agents::grant_server(tx, row).await).await
        };
        refused(grant(&access(&foreign, AccessLevel::FullAccess)).await);
        let first = access(&one, AccessLevel::Custom);
        grant(&first).await.unwrap();
        assert_eq!(agents::servers(&store, row.id).await.unwrap(), std::slice::from_ref(&first));
        let second =
            ServerAccessRow { allowed_tools: None, expires_at: None, ..access(&one, AccessLevel::ReadOnly) };
        grant(&second).await.unwrap();
        let expected = ServerAccessRow { id: first.id, ..second };
        assert_eq!(agents::servers(&store, row.id).await.unwrap(), [expected]);
        assert_eq!(agents::servers(&store, other.id).await.unwrap(), []);
        assert_eq!([first.counts_at(after(49)), first.counts_at(after(50))], [true, false]);
        let revoke = async |agent| {
            change(&store, async |tx| agents::revoke_server(tx, agent, one.id).await).await.unwrap()
        };
        assert_eq!(
            [revoke(other.id).await, revoke(row.id).await, revoke(row.id).await],
            [false, true, false]
        );
    });
}
