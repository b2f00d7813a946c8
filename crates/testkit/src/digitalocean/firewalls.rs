//! Firewalls. They keep nobody out: there are no machines here.

use std::time::Duration;

use serde_json::{Value, json};

use super::pages;
use super::reply::{Ask, Reply};
use super::world::World;

/// A firewall.
#[derive(Debug)]
pub(super) struct Firewall {
    name: String,
    inbound: Value,
    outbound: Value,
    droplets: Vec<u64>,
    tags: Vec<String>,
    created: Duration,
    changed: Duration,
}

impl Firewall {
    pub(super) fn forget(&mut self, droplet: u64) {
        self.droplets.retain(|&known| known != droplet);
    }
}

fn wanted(world: &World, ask: &Ask, itself: Option<&str>) -> Result<Firewall, Reply> {
    let name = ask.text("name");
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(Reply::invalid(
            "firewall name must contain alphanumeric characters, dots and dashes only",
        ));
    }
    if world.firewalls.iter().any(|(id, known)| known.name == name && Some(id.as_str()) != itself) {
        return Err(Reply::error(409, "duplicate name"));
    }
    let (inbound, outbound) = (ask.elements("inbound_rules"), ask.elements("outbound_rules"));
    if inbound.is_empty() && outbound.is_empty() {
        return Err(Reply::invalid("must specify at least one rule"));
    }
    let droplets: Vec<u64> = ask.elements("droplet_ids").iter().filter_map(Value::as_u64).collect();
    let tags: Vec<String> =
        ask.elements("tags").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if let Some(unknown) = droplets.iter().find(|id| !world.droplets.contains_key(id)) {
        return Err(Reply::invalid(&format!("droplet {unknown} does not exist")));
    }
    if let Some(unknown) = tags.iter().find(|tag| !world.tags.contains_key(&tag.to_lowercase())) {
        return Err(Reply::invalid(&format!("tag {unknown} does not exist")));
    }
    let now = world.clock.now();
    Ok(Firewall {
        name: name.to_owned(),
        inbound: inbound.into(),
        outbound: outbound.into(),
        droplets,
        tags,
        created: now,
        changed: now,
    })
}

pub(super) fn create(world: &mut World, ask: &Ask) -> Reply {
    match wanted(world, ask, None) {
        Ok(firewall) => {
            let id = format!("bb4b2611-3d72-467b-8602-{:012x}", world.next_id());
            world.firewalls.insert(id.clone(), firewall);
            Reply::new(202, json!({"firewall": shown(world, &id)}))
        }
        Err(refused) => refused,
    }
}

pub(super) fn update(world: &mut World, ask: &Ask, id: &str) -> Reply {
    let Some(created) = world.firewalls.get(id).map(|known| known.created) else { return Reply::not_found() };
    match wanted(world, ask, Some(id)) {
        Ok(firewall) => {
            world.firewalls.insert(id.to_owned(), Firewall { created, ..firewall });
            Reply::new(200, json!({"firewall": shown(world, id)}))
        }
        Err(refused) => refused,
    }
}

pub(super) fn list(world: &World, ask: &Ask) -> Reply {
    let all = world.firewalls.keys().map(|id| shown(world, id)).collect();
    pages::page(&world.home, ask, "firewalls", all)
}

pub(super) fn get(world: &World, id: &str) -> Reply {
    if world.firewalls.contains_key(id) {
        Reply::new(200, json!({"firewall": shown(world, id)}))
    } else {
        Reply::not_found()
    }
}

pub(super) fn delete(world: &mut World, id: &str) -> Reply {
    world.firewalls.remove(id).map_or_else(Reply::not_found, |_| Reply::nothing())
}

fn shown(world: &World, id: &str) -> Value {
    let Some(firewall) = world.firewalls.get(id) else { return Value::Null };
    let waiting = world.clock.now() < firewall.changed + world.config.acts_after;
    let change = |id: &u64| json!({"droplet_id": id, "removing": false, "status": "waiting"});
    let pending: Vec<Value> = firewall.droplets.iter().filter(|_| waiting).map(change).collect();
    json!({
        "id": id, "name": firewall.name, "status": if waiting { "waiting" } else { "succeeded" },
        "created_at": world.clock.text(firewall.created), "pending_changes": pending, "droplet_ids": firewall.droplets,
        "tags": firewall.tags, "inbound_rules": firewall.inbound, "outbound_rules": firewall.outbound,
    })
}
