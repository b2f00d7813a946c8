//! Every endpoint that the client has, in one table: the request that it sends and the answer that the fake gives hold
//! against the provider's official document, and the document's own examples are understood.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use digitalocean::{
    Client, DropletAction, Earlier, Error, InboundRule, NewFirewall, OutboundRule, Peers, Protocol,
};
use serde_json::Value;
use testkit::digitalocean::{Config, Exchange, Fake, Fault};

use crate::document::Document;
use crate::{client, client_with, tag, web};

/// The function and the endpoint it is for, in an order in which each finds what it needs.
const TABLE: [(&str, &str, &str); 32] = [
    ("account", "GET", "/v2/account"),
    ("regions", "GET", "/v2/regions"),
    ("sizes", "GET", "/v2/sizes"),
    ("distribution_images", "GET", "/v2/images"),
    ("private_images", "GET", "/v2/images"),
    ("image", "GET", "/v2/images/{image_id}"),
    ("vpcs", "GET", "/v2/vpcs"),
    ("vpc", "GET", "/v2/vpcs/{vpc_id}"),
    ("create_ssh_key", "POST", "/v2/account/keys"),
    ("ssh_keys", "GET", "/v2/account/keys"),
    ("ssh_key", "GET", "/v2/account/keys/{ssh_key_identifier}"),
    ("create_tag", "POST", "/v2/tags"),
    ("create_droplet", "POST", "/v2/droplets"),
    ("droplets", "GET", "/v2/droplets"),
    ("droplets_by_tag", "GET", "/v2/droplets"),
    ("droplets_by_name", "GET", "/v2/droplets"),
    ("droplet", "GET", "/v2/droplets/{droplet_id}"),
    ("tag_droplets", "POST", "/v2/tags/{tag_id}/resources"),
    ("tags", "GET", "/v2/tags"),
    ("tag", "GET", "/v2/tags/{tag_id}"),
    ("begin_action", "POST", "/v2/droplets/{droplet_id}/actions"),
    ("droplet_actions", "GET", "/v2/droplets/{droplet_id}/actions"),
    ("action", "GET", "/v2/actions/{action_id}"),
    ("create_firewall", "POST", "/v2/firewalls"),
    ("firewalls", "GET", "/v2/firewalls"),
    ("firewall", "GET", "/v2/firewalls/{firewall_id}"),
    ("update_firewall", "PUT", "/v2/firewalls/{firewall_id}"),
    ("delete_firewall", "DELETE", "/v2/firewalls/{firewall_id}"),
    ("untag_droplets", "DELETE", "/v2/tags/{tag_id}/resources"),
    ("delete_tag", "DELETE", "/v2/tags/{tag_id}"),
    ("delete_droplet", "DELETE", "/v2/droplets/{droplet_id}"),
    ("delete_ssh_key", "DELETE", "/v2/account/keys/{ssh_key_identifier}"),
];

/// What earlier rows made.
#[derive(Debug, Default)]
struct Made {
    key: u64,
    droplet: u64,
    action: u64,
    firewall: String,
    operation: usize,
}

fn firewall() -> NewFirewall {
    let peers = Peers { addresses: vec!["192.0.2.0/24".to_owned()], ..Peers::default() };
    NewFirewall {
        name: "berth-fra1".to_owned(),
        inbound_rules: vec![InboundRule { protocol: Protocol::Tcp, ports: "22".to_owned(), sources: peers }],
        outbound_rules: [(Protocol::Tcp, "all"), (Protocol::Udp, "53"), (Protocol::Icmp, "0")]
            .map(|(protocol, ports)| OutboundRule {
                protocol,
                ports: ports.to_owned(),
                destinations: Peers::everybody(),
            })
            .to_vec(),
        droplet_ids: vec![],
        tags: vec![tag("berth")],
    }
}

/// Calls a function of the table.
async fn call(name: &str, client: &Client, made: &mut Made) -> Result<(), Error> {
    let berth = tag("berth");
    match name {
        "account" => client.account().await.map(drop),
        "regions" => client.regions().await.map(drop),
        "sizes" => client.sizes().await.map(drop),
        "distribution_images" => client.distribution_images().await.map(drop),
        "private_images" => client.private_images().await.map(drop),
        "image" => client.image("debian-12-x64").await.map(drop),
        "vpcs" => client.vpcs().await.map(drop),
        "vpc" => client.vpc("5a4981aa-9653-4bd1-bef5-d6bff52042e4").await.map(drop),
        "create_ssh_key" => {
            let key = client.create_ssh_key("mine", "ssh-ed25519 AAAAC3Nz me@example").await?;
            made.key = key.id;
            Ok(())
        }
        "ssh_keys" => client.ssh_keys().await.map(drop),
        "ssh_key" => client.ssh_key(&made.key.to_string()).await.map(drop),
        "delete_ssh_key" => client.delete_ssh_key(made.key).await,
        "create_tag" => client.create_tag(&berth).await.map(drop),
        "tags" => client.tags().await.map(drop),
        "tag" => client.tag(&berth).await.map(drop),
        "tag_droplets" => client.tag_droplets(&berth, &[made.droplet]).await,
        "untag_droplets" => client.untag_droplets(&berth, &[made.droplet]).await,
        "delete_tag" => client.delete_tag(&berth).await,
        "create_droplet" => {
            made.operation += 1;
            let mut wanted = web("web1");
            wanted.ssh_keys = vec![made.key.to_string().as_str().into()];
            wanted.tags = vec![berth];
            wanted.user_data = Some("#cloud-config\n".to_owned());
            wanted.vpc_uuid = Some("5a4981aa-9653-4bd1-bef5-d6bff52042e4".to_owned());
            wanted.with_droplet_agent = Some(false);
            (wanted.ipv6, wanted.monitoring) = (true, true);
            let operation = tag(&format!("berth:op:{}", made.operation));
            let created = client.create_droplet(&wanted, &operation, Earlier::Never).await?;
            made.droplet = created.droplet.id;
            made.action = created.action.expect("the action of a creation");
            Ok(())
        }
        "droplets" => client.droplets().await.map(drop),
        "droplets_by_tag" => client.droplets_by_tag(&berth).await.map(drop),
        "droplets_by_name" => client.droplets_by_name("web1").await.map(drop),
        "droplet" => client.droplet(made.droplet).await.map(drop),
        "delete_droplet" => client.delete_droplet(made.droplet).await,
        "begin_action" => client.begin_action(made.droplet, &DropletAction::PowerOff).await.map(drop),
        "droplet_actions" => client.droplet_actions(made.droplet).await.map(drop),
        "action" => client.action(made.action).await.map(drop),
        "create_firewall" => {
            made.firewall = client.create_firewall(&firewall()).await?.id;
            Ok(())
        }
        "firewalls" => client.firewalls().await.map(drop),
        "firewall" => client.firewall(&made.firewall).await.map(drop),
        "update_firewall" => client.update_firewall(&made.firewall, &firewall()).await.map(drop),
        "delete_firewall" => client.delete_firewall(&made.firewall).await,
        other => panic!("`{other}` is not called"),
    }
}

/// Everything that the table and the ways to be refused give.
async fn walked() -> Vec<Exchange> {
    let config = Config { acts_after: Duration::from_mins(1), burst: 5000, ..Config::default() };
    let fake = Fake::start(config.clone());
    let client = client(&fake);
    let mut made = Made::default();
    for (name, _, _) in TABLE {
        call(name, &client, &mut made).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    // A droplet in each of its states, and every action.
    let id = client.create_droplet(&web("web2"), &tag("op:a"), Earlier::Never).await.unwrap().droplet.id;
    for action in [
        DropletAction::PowerOff,
        DropletAction::Resize { size: "s-2vcpu-2gb".to_owned(), disk: false },
        DropletAction::PowerOn,
        DropletAction::Rename { name: "web3".to_owned() },
        DropletAction::Rebuild { image: "debian-13-x64".into() },
        DropletAction::Rebuild { image: "190001004".into() },
        DropletAction::Reboot,
        DropletAction::PowerCycle,
        DropletAction::Shutdown,
    ] {
        client.begin_action(id, &action).await.unwrap();
        client.begin_action(id, &action).await.unwrap_err();
        client.droplet(id).await.unwrap();
        fake.advance(Duration::from_mins(1));
        client.droplet(id).await.unwrap();
    }
    client.droplet_actions(id).await.unwrap();
    client.create_firewall(&NewFirewall { droplet_ids: vec![id], tags: vec![], ..firewall() }).await.unwrap();
    client.create_firewall(&firewall()).await.unwrap_err();
    client.firewalls().await.unwrap();
    fake.advance(Duration::from_mins(1));
    client.firewalls().await.unwrap();
    client.image("129212221").await.unwrap();
    for n in 0..201 {
        client.create_tag(&tag(&format!("t:{n}"))).await.unwrap();
    }
    client.tags().await.unwrap();
    client.droplet(1).await.unwrap_err();
    let mut unknown = web("web4");
    "mars1".clone_into(&mut unknown.region);
    client.create_droplet(&unknown, &tag("op:b"), Earlier::Never).await.unwrap_err();
    let mut exchanges = fake.exchanges();

    let stranger = client_with(&fake, "dop_v1_revoked", |_| {});
    stranger.account().await.unwrap_err();
    exchanges.extend(fake.exchanges().pop());
    for config in [
        Config { scopes: Some(vec![]), ..config.clone() },
        Config { hourly: 0, ..config.clone() },
        Config { account_status: "locked", ..config },
    ] {
        let fake = Fake::start(config);
        // What is refused is an exchange too, and what is not refused, an account in another state.
        drop(crate::client(&fake).account().await);
        exchanges.extend(fake.exchanges());
    }
    exchanges
}

#[tokio::test]
async fn requests_and_answers_are_the_documents() {
    let Some(document) = Document::read() else { return };
    let exchanges = walked().await;
    let mut seen = BTreeSet::new();
    for exchange in &exchanges {
        let path = document.check(exchange).unwrap_or_else(|wrong| {
            panic!("{} {} ({}): {wrong}", exchange.method, exchange.path, exchange.status)
        });
        if exchange.status < 300 {
            seen.insert((exchange.method.clone(), path));
        }
    }
    for (name, method, path) in TABLE {
        assert!(seen.contains(&(method.to_owned(), path.to_owned())), "{name}: no {method} {path}");
    }
    assert_eq!(seen.len(), TABLE.iter().map(|row| (row.1, row.2)).collect::<BTreeSet<_>>().len(), "{seen:?}");
    let refused: BTreeSet<u16> =
        exchanges.iter().map(|exchange| exchange.status).filter(|s| 400 <= *s).collect();
    assert_eq!(refused, BTreeSet::from([401, 403, 404, 409, 422, 429]));
}

#[tokio::test]
async fn the_documents_examples_are_understood() {
    let Some(document) = Document::read() else { return };
    let fake = Fake::start(Config { burst: 5000, ..Config::default() });
    let client = client(&fake);
    let mut understood = 0;
    for (name, method, path) in TABLE {
        for (status, mut example) in document.examples(method, path) {
            // Several droplets at once are not offered here; the next page would be the real provider's.
            if name == "create_droplet" && example.get("droplets").is_some() {
                continue;
            }
            if let Some(links) = example.get_mut("links").and_then(Value::as_object_mut) {
                links.remove("pages");
            }
            if name == "create_droplet" {
                // It looks first.
                fake.inject("GET", "/v2/droplets", Fault::None);
            }
            fake.inject(method, "", Fault::Answer(status, example.clone()));
            let mut made = Made { operation: understood, ..Made::default() };
            call(name, &client, &mut made)
                .await
                .unwrap_or_else(|error| panic!("{name}: {error}\n{example:#}"));
            fake.clear_faults();
            understood += 1;
        }
    }
    assert!(25 <= understood, "only {understood} examples");
}

/// A function that is not in the table would be tested by nothing here.
#[test]
fn every_function_is_in_the_table() {
    let mut functions = BTreeSet::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.lines().filter_map(|line| line.trim().strip_prefix("pub async fn "));
            functions.extend(names.map(|rest| rest.split('(').next().unwrap().to_owned()));
        }
    }
    let table: BTreeSet<String> = TABLE.iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(functions, table);
}
