//! What is no older database, and what is wrong in one.

use super::*;
use testkit::legacy::{AGENT, ENTRY, ITEM, TOOLBOX, USER};

async fn refuses(url: &str, options: ImportOptions, words: &[&str]) {
    let berth = Berth::new(false);
    let error = import(&berth.config, &Secret::new(url), &options, None).await.unwrap_err();
    let said = format!("{error} {}", crate::app::problem::Chain(&error));
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn what_is_no_older_database_is_told() {
    let plain = ImportOptions::default;
    let empty = testkit::postgres::database();
    refuses("/tmp/berth.db", plain(), &["url is not a PostgreSQL URL"]).await;
    refuses("mysql://x:hunter2@localhost/y", plain(), &["url is not a PostgreSQL URL"]).await;
    refuses("postgres://x:hunter2@localhost:port/y", plain(), &["is not a PostgreSQL URL"]).await;
    refuses(
        "postgres://x:hunter2@127.0.0.1:1/y",
        plain(),
        &["cannot open the database postgres://x@127.0.0.1:1/y"],
    )
    .await;
    refuses(&empty, plain(), &["none of the older platform's tables", "agent_droplets"]).await;
    let (address, parameters) = empty.split_once('?').unwrap_or((&empty, ""));
    let (server, _) = address.rsplit_once('/').unwrap();
    refuses(&format!("{server}/nothing-here?{parameters}"), plain(), &["has no database of that name"]).await;

    let legacy = Legacy::instances();
    let unknown = ImportOptions { account: Some("nobody".parse().unwrap()), ..plain() };
    refuses(&legacy.url, unknown, &["there is no account `nobody`"]).await;
    let no_url = ImportOptions { supabase: Some("abc".to_owned()), ..plain() };
    refuses(&legacy.url, no_url, &["it is the URL of a Supabase project"]).await;
}

#[tokio::test]
async fn rows_that_may_not_be_read_are_told_and_not_taken_for_none() {
    let legacy = Legacy::instances();
    let reader = format!("reader_{}", legacy.url.len() + usize::try_from(std::process::id()).unwrap());
    legacy.run(&format!(
        "CREATE ROLE {reader} LOGIN; GRANT USAGE ON SCHEMA public, auth, vault TO {reader};
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader};
        ALTER TABLE account_tool_instances ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON account_tool_instances USING (false);"
    ));
    let url = legacy.url.replacen("postgres://postgres@", &format!("postgres://{reader}@"), 1);
    let words = ["may not read all of the table `account_tool_instances`", "BYPASSRLS"];
    if url != legacy.url {
        refuses(&url, ImportOptions::default(), &words).await;
        legacy.run(&format!("ALTER ROLE {reader} BYPASSRLS"));
        // Neither people nor secrets may be read, which is no reason to take nothing.
        let berth = Berth::new(false);
        let options = ImportOptions { apply: true, ..ImportOptions::default() };
        let report = import(&berth.config, &Secret::new(url), &options, None).await.unwrap();
        let again = lines(&report, Verdict::GiveAgain);
        assert_eq!(again.len(), 9, "{again:#?}");
        assert!(again[0].contains("vault.decrypted_secrets cannot be read"), "{again:#?}");
        assert!(lines(&report, Verdict::Create).iter().any(|line| line.starts_with("user user-")));
    }
}

#[tokio::test]
async fn the_function_of_the_older_platform_opens_what_its_view_does_not() {
    for function in [
        "CREATE FUNCTION public.get_secret(secret_id uuid) RETURNS TABLE (key text) LANGUAGE sql SECURITY DEFINER AS
            $$ SELECT reverse(secret) FROM vault.secrets WHERE id = secret_id $$",
        "CREATE FUNCTION public.get_secret(secret_id text) RETURNS text LANGUAGE sql SECURITY DEFINER AS
            $$ SELECT reverse(secret) FROM vault.secrets WHERE id = secret_id::uuid $$",
    ] {
        let (legacy, berth) = (Legacy::instances(), Berth::new(false));
        legacy.run(&format!("DROP VIEW vault.decrypted_secrets; {function}"));
        let report = berth.import(&legacy, true).await;
        assert_eq!(lines(&report, Verdict::GiveAgain), Vec::<String>::new(), "{function}");
        let secrets = berth.secrets(&berth.instance(10).await).await;
        assert_eq!(secrets["POSTGRES_PASSWORD"], "hunter2");
    }
}

#[tokio::test]
async fn odd_rows_are_mapped_or_told() {
    let (legacy, berth) = (Legacy::instances(), Berth::new(false));
    let gone = id(USER, 99);
    // As columns drifted: words are texts, and code wrote what the enums did not have.
    legacy.break_in(&format!(
        "ALTER TABLE account_tool_instances ALTER status_on_toolbox DROP DEFAULT,
            ALTER status_on_toolbox TYPE text, DROP CONSTRAINT uq_account_env_tool,
            ADD docker_image_url text, ADD is_active boolean;
        ALTER TABLE account_tool_environments ALTER status DROP DEFAULT, ALTER status TYPE text;
        INSERT INTO account_tool_environments (id, user_id, status, region_slug, size_slug, image_slug, name,
                public_ip_address, dtma_bearer_token, created_at, updated_at) VALUES
            ('{}', '{gone}', 'active', 'x', 'x', 'x', 'Of nobody', NULL, 'token-99', now(), now()),
            ('{}', '{owner}', 'on_fire', 'x', 'x', 'x', '../../ETC', '203.0.113.1', NULL, '2026-01-01Z', '2026-01-01Z');
        INSERT INTO account_tool_instances (id, account_tool_environment_id, tool_catalog_id, status_on_toolbox,
                instance_name_on_toolbox, created_at, updated_at, docker_image_url) VALUES
            ('{}', '{environment}', '{entry}', 'Up 2 hours', 'db', '2026-01-01Z', '2026-01-01Z', NULL),
            ('{}', '{environment}', '{entry}', 'deleting', 'going', '2026-01-01Z', '2026-01-01Z', NULL),
            ('{}', '{environment}', '{missing}', 'running', 'orphan', '2026-01-01Z', '2026-01-01Z', NULL),
            ('{}', '{environment}', '{missing}', 'running', 'own-image', '2026-01-01Z', '2026-01-01Z', 'redis:7'),
            ('{}', '{}', '{entry}', 'running', 'nowhere', '2026-01-01Z', '2026-01-01Z', NULL),
            ('{}', '{environment}', '{broken}', 'running', 'broken', '2026-01-01Z', '2026-01-01Z', NULL);
        INSERT INTO agents VALUES ('{}', '{gone}', 'Lost', NULL, now(), now());
        INSERT INTO agent_toolbelt_items VALUES ('{}', '{agent}', '{}', true, now(), now());
        INSERT INTO agent_toolbox_access VALUES ('{}', '{agent}', '{}', now());",
        id(ENVIRONMENT, 99),
        id(ENVIRONMENT, 98),
        id(INSTANCE, 90),
        id(INSTANCE, 91),
        id(INSTANCE, 92),
        id(INSTANCE, 93),
        id(INSTANCE, 94),
        id(ENVIRONMENT, 999),
        id(INSTANCE, 95),
        id(AGENT, 99),
        id(ITEM, 90),
        id(INSTANCE, 20),
        id(TOOLBOX, 90),
        id(ENVIRONMENT, 99),
        owner = id(USER, 1),
        environment = id(ENVIRONMENT, 1),
        entry = id(ENTRY, 1),
        missing = id(ENTRY, 999),
        broken = id(ENTRY, 3),
        agent = id(AGENT, 1),
    ));
    let report = berth.import(&legacy, true).await;
    let (created, left) =
        (lines(&report, Verdict::Create).join("\n"), lines(&report, Verdict::LeftOut).join("\n"));
    for expected in [
        "environment etc | `../../ETC` there; its status is a word that is not known; 203.0.113.1:30000 is another \
         environment's, so its host is to dial; it has no token there",
        "instance db-2 | its status is a word that is not known, so it is not started; `db` there; another instance of its \
         host has the same name there",
        "instance own-image",
        "catalog entry imported/broken | cannot be deployed: `Not An Image` is not an image reference",
    ] {
        assert!(created.contains(expected), "{expected}\n{created}");
    }
    for expected in [
        &*format!("user {gone} | they are gone there"),
        &*format!("environment Of nobody | its owner {gone} is gone there; `--account` takes what has none"),
        &*format!("agent Lost | its owner {gone} is gone there"),
        "instance going | its owner wanted it gone (`deleting`)",
        "instance orphan | neither it nor its catalog entry names an image",
        "instance nowhere | its environment",
        "instance broken | `Not An Image` is not an image reference",
        "toolbelt item research-agent: db | it would reach from one account into another's",
        &*format!(
            "access to an environment of agent {} | the agent or the environment is not taken over",
            id(AGENT, 1)
        ),
    ] {
        assert!(left.contains(expected), "{expected}\n{left}");
    }
    assert_eq!(berth.instance(93).await.spec.package.to_string(), "oci:redis:7");
    let second = berth.instance(90).await;
    assert_eq!(second.desired, domain::spec::DesiredState::Stopped);
    assert_eq!(second.instance_name_on_toolbox, "db-2");

    // One account takes what has no owner, too.
    let berth = Berth::new(false);
    berth.account("one").await;
    let options =
        ImportOptions { account: Some("one".parse().unwrap()), apply: true, ..ImportOptions::default() };
    berth.import_with(&legacy, options).await.unwrap();
    let environment = berth.environment(99).await;
    assert_eq!((environment.name.as_str(), environment.user), ("of-nobody", None));
}
