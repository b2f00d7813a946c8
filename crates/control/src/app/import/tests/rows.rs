//! What rows become.

use domain::package::Package;
use domain::spec::DesiredState;
use domain::status::{EnvironmentStatus, InstanceStatus};
use domain::toolbelts::{AccessLevel, CredentialStatus};
use serde_json::json;

use super::*;
use crate::app::foreign;
use crate::auth::issuers::{Foreign, Issuer};
use crate::auth::token;
use testkit::legacy::{AGENT, ENTRY, GENERIC, ITEM, USER};

#[tokio::test]
async fn the_newest_generation() {
    let (legacy, berth) = (Legacy::instances(), Berth::new(false));
    let report = berth.import(&legacy, true).await;
    let (store, keys) = berth.open().await;

    let environment = berth.environment(1).await;
    assert_eq!(environment.name.as_str(), "my-toolbox");
    assert_eq!(
        (environment.droplet.id, environment.public_ip_address.as_deref()),
        (Some(100), Some("203.0.113.1"))
    );
    assert_eq!(environment.status, EnvironmentStatus::AwaitingHeartbeat, "Berth has not heard of it");
    assert_eq!(environment.reach, json!({ "by": "keyless", "dtma": "203.0.113.1:30000" }));
    // Its host shows the token that it has.
    let found = store::environments::by_token_hash(&store, &token::hash_text("token-1")).await.unwrap();
    assert_eq!(found.as_ref().map(|row| row.id), Some(environment.id));
    let sealed = environment.dtma_token_sealed.unwrap();
    assert_eq!(keys.unseal(environment.id.0, &sealed).unwrap().expose(), "token-1");
    let unmade = berth.environment(1 + testkit::legacy::SECOND).await;
    assert_eq!((unmade.name.as_str(), unmade.status), ("toolbox", EnvironmentStatus::ErrorCreation));

    let database = berth.instance(10).await;
    assert_eq!((database.name.as_str(), database.instance_name_on_toolbox.as_str()), ("db", "db"));
    assert_eq!(database.spec.package, Package::Oci { image: "postgres:17".to_owned() });
    let ports: Vec<_> =
        database.spec.launch.container.iter().flat_map(|it| &it.ports).map(ToString::to_string).collect();
    assert_eq!(ports, ["0.0.0.0:5432:5432"]);
    assert_eq!(database.catalog_entry.to_string(), id(ENTRY, 1));
    assert_eq!((database.desired, database.status), (DesiredState::Running, InstanceStatus::PendingDeploy));
    let password = BTreeMap::from([("POSTGRES_PASSWORD".to_owned(), "hunter2".to_owned())]);
    assert_eq!(berth.secrets(&database).await, password, "the vault's, re-encrypted");

    let server = berth.instance(11).await;
    assert_eq!(server.name.as_str(), "context7-mcp-server-1750");
    assert_eq!(server.instance_name_on_toolbox, "Context7 MCP Server-1750", "its host looks for it by that");
    assert!(server.spec.launch.container.is_none());
    let launch = serde_json::to_value(&server.spec.launch).unwrap();
    assert_eq!(
        (&launch["transport"], &launch["path"], &launch["port"]),
        (&json!("sse"), &json!("/mcp"), &json!(8080))
    );
    assert_eq!(server.status, InstanceStatus::ErrorRuntime);
    assert_eq!(server.settings, BTreeMap::from([("LOG_LEVEL".to_owned(), "debug".to_owned())]));
    assert_eq!(server.spec.env, server.settings);
    let key = BTreeMap::from([("CONTEXT7_API_KEY".to_owned(), "c7-1".to_owned())]);
    assert_eq!(berth.secrets(&server).await, key);

    let account = environment.account;
    let agent = store::agents::by_id(&store, account, id(AGENT, 1).parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((agent.name.as_str(), agent.created_by), ("research-agent", environment.user));
    let belt = store::toolbelts::of_agent(&store, agent.id).await.unwrap().unwrap();
    let items = store::toolbelts::items(&store, belt.id).await.unwrap();
    assert_eq!(items.iter().map(|item| item.id.to_string()).collect::<Vec<_>>(), [id(ITEM, 1)]);
    let permissions = store::agents::permissions(&store, items[0].id).await.unwrap();
    let said: Vec<_> = permissions.iter().map(|row| (row.capability_name.as_str(), row.is_allowed)).collect();
    assert_eq!(said, [("delete-*", false), ("resolve-library-id", true)]);
    let credentials = store::agents::credentials(&store, items[0].id).await.unwrap();
    assert_eq!(credentials.len(), 1, "what does not open is given again");
    assert_eq!(credentials[0].status, CredentialStatus::Active);
    let values = keys.unseal_all(credentials[0].id.0, Some(&credentials[0].sealed)).unwrap();
    assert_eq!(values["CONTEXT7_API_KEY"].expose(), "hunter2", "the variable is the entry's");
    let access = store::agents::servers(&store, agent.id).await.unwrap();
    assert_eq!(
        (access[0].level, access[0].allowed_tools.clone()),
        (AccessLevel::Custom, Some(vec!["get-library-docs".to_owned()]))
    );
    assert_eq!(access[0].expires_at.map(|at| at.to_string()).as_deref(), Some("2030-01-01T00:00:00Z"));
    assert_eq!(store::agents::toolboxes(&store, agent.id).await.unwrap().len(), 1);
    store.close().await;

    let again = lines(&report, Verdict::GiveAgain);
    assert_eq!(again.len(), 3, "one for each user: {again:?}");
    assert!(again[0].contains("oauth2") && again[0].contains("the vault has no such secret"), "{again:?}");
    let there = lines(&report, Verdict::There);
    assert_eq!(there, ["catalog entry MCP Server | Berth has it, under the same id"]);
    assert_eq!(GENERIC.parse(), Ok(domain::ids::CatalogEntryId::GENERIC_MCP));
    // Nothing that is said has what was secret.
    let text = serde_json::to_string(&report).unwrap();
    for secret in ["hunter2", "token-1", "c7-1"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn the_first_generation() {
    let (legacy, berth) = (Legacy::droplets(), Berth::new(false));
    berth.import(&legacy, true).await;
    let environment = berth.environment(2).await;
    assert_eq!(environment.droplet.id, Some(200));
    assert_eq!(environment.user.map(|user| user.to_string()), Some(id(USER, 2)), "its agent's owner");
    let (running, disabled) = (berth.instance(20).await, berth.instance(21).await);
    assert_eq!((running.desired, disabled.desired), (DesiredState::Running, DesiredState::Stopped));
    let password = BTreeMap::from([("POSTGRES_PASSWORD".to_owned(), "hunter2".to_owned())]);
    assert_eq!(berth.secrets(&running).await, password);
    assert_eq!(running.settings, BTreeMap::from([("POSTGRES_DB".to_owned(), "app".to_owned())]));
    let (store, _) = berth.open().await;
    let agent: domain::ids::AgentId = id(AGENT, 2).parse().unwrap();
    let access = store::agents::servers(&store, agent).await.unwrap();
    let levels: Vec<_> = access.iter().map(|row| (row.level, row.is_active)).collect();
    assert_eq!(levels.len(), 2);
    assert!(
        levels.contains(&(AccessLevel::FullAccess, true))
            && levels.contains(&(AccessLevel::FullAccess, false))
    );
    store.close().await;
}

#[tokio::test]
async fn the_generation_between() {
    let (legacy, berth) = (Legacy::active_tools(), Berth::new(false));
    berth.import(&legacy, true).await;
    let environment = berth.environment(3).await;
    assert_eq!(environment.public_ip_address.as_deref(), Some("203.0.113.3"), "its column was `ip_address`");
    assert_eq!(berth.instance(31).await.desired, DesiredState::Stopped, "it was not enabled");
    assert_eq!(berth.instance(30).await.catalog_entry.to_string(), id(ENTRY, 1));
}

#[tokio::test]
async fn servers_elsewhere_and_the_marketplace() {
    let (legacy, berth) = (Legacy::mcp(), Berth::new(false));
    let report = berth.import(&legacy, true).await;
    let account = berth.environment(1).await.account;
    let (store, keys) = berth.open().await;
    let rows = store::instances::list(&store, account).await.unwrap();
    let named = |name: &str| rows.iter().find(|row| row.name.as_str() == name).unwrap();
    let search = named("search-api");
    assert_eq!(search.spec.package.to_string(), "https://search.example.com/mcp");
    let secrets = keys.unseal_all(search.id.0, search.secrets_sealed.as_deref()).unwrap();
    assert_eq!(secrets["Authorization"].expose(), "Bearer hunter2");
    assert_eq!(named("wiki").desired, DesiredState::Stopped, "it was not active");
    let agent: domain::ids::AgentId = id(AGENT, 1).parse().unwrap();
    let access = store::agents::servers(&store, agent).await.unwrap();
    assert!(access.iter().any(|row| row.instance == search.id && row.level == AccessLevel::FullAccess));
    let weather = store::catalog::by_name(&store, "imported/weather").await.unwrap().unwrap();
    assert_eq!((weather.id.to_string(), weather.is_verified()), (id(ENTRY, 100), true));
    assert!(weather.inputs[0].required && weather.inputs[0].choices == ["c", "f"], "{:?}", weather.inputs);
    assert!(store::catalog::by_name(&store, "imported/draft").await.unwrap().is_none());
    store.close().await;
    let again = lines(&report, Verdict::GiveAgain).join("\n");
    assert!(again.contains("agent_mcp_connections Zapier | its address is a secret"), "{again}");
    let left = lines(&report, Verdict::LeftOut).join("\n");
    for expected in [
        "mcp_servers Odd | its address is none of an MCP server",
        "catalog entry draft | not everybody could see it",
        "mcp_tools_cache 2 rows | ",
        "user_ssh_keys 1 row | ",
    ] {
        assert!(left.contains(expected), "{expected}\n{left}");
    }
}

#[tokio::test]
async fn the_first_shape_of_connections_is_an_item() {
    let (legacy, berth) = (Legacy::instances(), Berth::new(false));
    legacy.run(&format!(
        "CREATE TABLE agent_mcp_connections (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), agent_id uuid,
            mcp_server_instance_id uuid REFERENCES account_tool_instances, connection_config jsonb,
            connection_test_result jsonb, connection_status text, usage_stats jsonb, created_at timestamptz DEFAULT now());
        INSERT INTO agent_mcp_connections (agent_id, mcp_server_instance_id, connection_status) VALUES
            ('{agent}', '{}', 'error'), ('{agent}', '{}', 'connected');",
        id(INSTANCE, 10),
        id(INSTANCE, 11),
        agent = id(AGENT, 1),
    ));
    berth.import(&legacy, true).await;
    let (store, _) = berth.open().await;
    let belt = store::toolbelts::of_agent(&store, id(AGENT, 1).parse().unwrap()).await.unwrap().unwrap();
    let items = store::toolbelts::items(&store, belt.id).await.unwrap();
    let mut states: Vec<_> =
        items.iter().map(|item| (item.instance_name.to_string(), item.is_active)).collect();
    states.sort();
    let expected = [("context7-mcp-server-1750".to_owned(), true), ("db".to_owned(), false)];
    assert_eq!(states, expected, "the toolbelt's own row wins over the connection");
    store.close().await;
}

#[tokio::test]
async fn one_account_takes_all() {
    let (legacy, berth) = (Legacy::instances(), Berth::new(false));
    let account = berth.account("one").await;
    let options =
        || ImportOptions { account: Some("one".parse().unwrap()), apply: true, ..ImportOptions::default() };
    berth.import_with(&legacy, options()).await.unwrap();
    let (store, _) = berth.open().await;
    assert_eq!(store::accounts::list_accounts(&store).await.unwrap().len(), 1);
    let members = store::accounts::list_all_members(&store).await.unwrap();
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|member| member.role == api::users::Role::Member));
    let names: Vec<_> = store::environments::list(&store, account)
        .await
        .unwrap()
        .iter()
        .map(|row| row.name.to_string())
        .collect();
    assert_eq!(names, ["my-toolbox", "my-toolbox-2", "my-toolbox-3", "toolbox", "toolbox-2", "toolbox-3"]);
    let agents: Vec<_> =
        store::agents::list(&store, account).await.unwrap().iter().map(|row| row.name.to_string()).collect();
    assert_eq!(agents, ["research-agent", "research-agent-2", "research-agent-3"]);
    store.close().await;
    let after = berth.dump().await;
    let again = berth.import_with(&legacy, options()).await.unwrap();
    assert_eq!(lines(&again, Verdict::Create), Vec::<String>::new());
    assert_eq!(after, berth.dump().await);
    // What is one account's is not taken for another's.
    let others = berth.import(&legacy, false).await;
    let differs = lines(&others, Verdict::Differs).join("\n");
    assert!(differs.contains("environment my-toolbox | it is another account's here"), "{differs}");
}

#[tokio::test]
async fn tokens_of_the_supabase_project_open_what_was_imported() {
    const PROJECT: &str = "https://abc.supabase.co";
    let (legacy, berth) = (Legacy::instances(), Berth::new(false));
    let options =
        || ImportOptions { supabase: Some(PROJECT.to_owned()), apply: true, ..ImportOptions::default() };
    berth.import_with(&legacy, options()).await.unwrap();
    let (store, _) = berth.open().await;
    let issuer = Issuer::supabase(PROJECT, None);
    let email = Some("Ada.1@Example.com".to_owned());
    let who = Foreign { subject: id(USER, 1), email, expires_at: now() };
    let known = foreign::find_or_make(&store, &issuer, &who, now()).await.unwrap().unwrap();
    assert_eq!(known.member.user.to_string(), id(USER, 1));
    assert_eq!(known.member.account, berth.environment(1).await.account);
    assert_eq!(store::accounts::list_accounts(&store).await.unwrap().len(), 3, "nobody was made anew");
    store.close().await;
    let after = berth.dump().await;
    berth.import_with(&legacy, options()).await.unwrap();
    assert_eq!(after, berth.dump().await);

    // Somebody who came before the import keeps their account, and gets what was theirs into it.
    let berth = Berth::new(false);
    let (store, _) = berth.open().await;
    let known = foreign::find_or_make(&store, &issuer, &who, now()).await.unwrap().unwrap();
    store.close().await;
    berth.import_with(&legacy, options()).await.unwrap();
    assert_eq!(berth.environment(1).await.account, known.member.account);
    assert_eq!(berth.environment(1).await.user, Some(known.member.user));
}
