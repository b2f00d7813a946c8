//! Nothing before it is asked for, the same however often, and the same after it broke off.

use testkit::legacy::{ITEM, SECRET};

use super::*;

/// Both kinds of Berth's own database, with an older one of a generation.
async fn twice_is_once(generation: &str, make: fn() -> Legacy) {
    for is_postgres in [false, true] {
        eprintln!("PostgreSQL: {is_postgres}");
        let (legacy, berth) = (make(), Berth::new(is_postgres));
        let (there, before) = (legacy.dump(), berth.dump().await);
        let said = berth.import(&legacy, false).await;
        assert!(said.generations.contains(&generation), "{:?}", said.generations);
        assert_eq!(lines(&said, Verdict::Differs), Vec::<String>::new());
        assert_eq!(before, berth.dump().await, "it was only said");

        let done = berth.import(&legacy, true).await;
        assert_eq!(done.lines, said.lines, "what was said is what was done");
        let after = berth.dump().await;
        assert_ne!(before, after);

        for apply in [false, true] {
            let again = berth.import(&legacy, apply).await;
            assert_eq!(lines(&again, Verdict::Create), Vec::<String>::new());
            assert_eq!(lines(&again, Verdict::Differs), Vec::<String>::new());
            assert_eq!(after, berth.dump().await, "applied: {apply}");
        }
        assert_eq!(there, legacy.dump(), "the older database is only read");
    }
}

#[tokio::test]
async fn droplets_are_taken_over_when_it_is_asked_for_and_once() {
    twice_is_once("droplets", Legacy::droplets).await;
}

#[tokio::test]
async fn active_tools_are_taken_over_when_it_is_asked_for_and_once() {
    twice_is_once("active-tools", Legacy::active_tools).await;
}

#[tokio::test]
async fn instances_are_taken_over_when_it_is_asked_for_and_once() {
    twice_is_once("instances", Legacy::instances).await;
}

#[tokio::test]
async fn mcp_tables_are_taken_over_when_it_is_asked_for_and_once() {
    twice_is_once("mcp", Legacy::mcp).await;
}

/// As a Supabase project has it: Berth's tables lie in a schema of their own, beside the older ones.
#[tokio::test]
async fn berth_may_have_its_tables_in_the_older_database() {
    let (legacy, mut berth) = (Legacy::instances(), Berth::new(true));
    berth.config.database = Some(legacy.url.clone());
    berth.postgres = Some(legacy.url.clone());
    let there = legacy.dump();
    berth.import(&legacy, true).await;
    assert_eq!(berth.instance(10).await.name.as_str(), "db");
    let after = berth.dump().await;
    berth.import(&legacy, true).await;
    assert_eq!(after, berth.dump().await);
    assert_eq!(there, legacy.dump());
}

#[tokio::test]
async fn what_broke_off_is_finished_by_the_next() {
    for (generation, make) in every_generation() {
        let legacy = make();
        let straight = Berth::new(false);
        straight.import(&legacy, true).await;
        let expected = straight.meaning().await;
        let mut broken_off = 0;
        // Each is another place to break off at, so that both within accounts and between them are among them.
        for most in (0..4).chain((4..200).step_by(7)) {
            let berth = Berth::new(false);
            if berth.import_some(&legacy, most).await.is_ok() {
                break;
            }
            broken_off += 1;
            assert_ne!(berth.meaning().await, expected, "{generation}: {most} rows are not all");
            berth.import(&legacy, true).await;
            let found = berth.meaning().await;
            assert!(
                found == expected,
                "{generation}, broken off after {most}: {}",
                difference(&found, &expected)
            );
        }
        assert!(8 < broken_off, "{generation}: {broken_off}");
    }
}

#[tokio::test]
async fn what_broke_off_is_finished_on_postgresql_as_well() {
    let legacy = Legacy::mcp();
    let straight = Berth::new(true);
    straight.import(&legacy, true).await;
    let expected = straight.meaning().await;
    for most in [3, 17, 40] {
        let berth = Berth::new(true);
        berth.import_some(&legacy, most).await.unwrap_err();
        berth.import(&legacy, true).await;
        let found = berth.meaning().await;
        assert!(found == expected, "broken off after {most}: {}", difference(&found, &expected));
    }
}

fn difference(found: &[String], expected: &[String]) -> String {
    let only = |one: &[String], other: &[String]| {
        one.iter().filter(|line| !other.contains(line)).cloned().collect::<Vec<_>>().join("\n  ")
    };
    format!("\nonly found:\n  {}\nonly expected:\n  {}", only(found, expected), only(expected, found))
}

#[tokio::test]
async fn what_is_here_and_something_else_stays() {
    let (legacy, berth) = (Legacy::instances(), Berth::new(false));
    berth.import(&legacy, true).await;
    let before = berth.meaning().await;
    legacy.run(&format!(
        "UPDATE account_tool_environments SET public_ip_address = '203.0.113.99', dtma_bearer_token = 'new-1'
            WHERE id = '{}';
        UPDATE account_tool_instances SET config_values = '{{\"LOG_LEVEL\": \"info\"}}' WHERE id = '{}';
        UPDATE agent_toolbelt_items SET is_active_for_agent = false WHERE id = '{}';
        UPDATE vault.secrets SET secret = reverse('changed') WHERE id = '{}';
        INSERT INTO agent_tool_capability_permissions VALUES (gen_random_uuid(), '{}', 'new-tool', true, now(), now());",
        id(ENVIRONMENT, 1),
        id(INSTANCE, 11),
        id(ITEM, 1),
        id(SECRET, 1),
        id(ITEM, 1),
    ));
    let said = berth.import(&legacy, true).await;
    let differs = lines(&said, Verdict::Differs);
    for expected in [
        "environment my-toolbox | it is here with another address, token, which stays",
        "instance context7-mcp-server-1750 | it is here with another settings, which stays",
        "instance db | it is here with another secrets, which stays",
        "toolbelt item research-agent: context7-mcp-server-1750 | it is here with another state, which stays",
        "credential research-agent: context7-mcp-server-1750: api_key | it is here with another value, which stays",
    ] {
        assert!(differs.iter().any(|line| line == expected), "{expected}\n{differs:#?}");
    }
    let created = lines(&said, Verdict::Create);
    assert_eq!(created, ["permission research-agent: context7-mcp-server-1750: new-tool | allowed"]);
    let after = berth.meaning().await;
    let kept: Vec<_> = after.iter().filter(|line| !line.contains("new-tool")).cloned().collect();
    assert_eq!(kept, before);
}

#[tokio::test]
async fn what_is_being_removed_here_holds_nothing_up() {
    let (legacy, berth) = (Legacy::instances(), Berth::new(false));
    berth.import(&legacy, true).await;
    let row = berth.instance(11).await;
    let (store, _) = berth.open().await;
    let mut tx = store.begin().await.unwrap();
    store::instances::mark_deleting(&mut tx, row.account, &row.name, now()).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    let report = berth.import(&legacy, true).await;
    let differs = lines(&report, Verdict::Differs);
    assert_eq!(differs, ["instance context7-mcp-server-1750 | it is being removed here"]);
    assert_eq!(lines(&report, Verdict::Create), Vec::<String>::new());
    assert!(berth.instance(11).await.deleting);
}
