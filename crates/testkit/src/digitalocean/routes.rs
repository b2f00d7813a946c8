//! Which request is for what, and what scope it takes.

use serde_json::{Value, json};

use super::reply::{Ask, Reply};
use super::world::World;
use super::{actions, catalogue, droplets, firewalls, keys, pages, tags};

/// Carries a request out.
pub(super) fn answer(world: &mut World, ask: &Ask) -> Reply {
    let path = ask.path.clone();
    let Some(path) = path.strip_prefix("/v2/") else { return Reply::not_found() };
    let segments: Vec<&str> = path.split('/').collect();
    let number = |text: &str| text.parse::<u64>().unwrap_or_default();
    let list = |world: &World, key: &str, all: Vec<Value>| pages::page(&world.home, ask, key, all);
    match (ask.method.as_str(), segments.as_slice()) {
        ("GET", ["account"]) => account(world),
        ("GET", ["regions"]) => list(world, "regions", catalogue::regions()),
        ("GET", ["sizes"]) => list(world, "sizes", catalogue::sizes()),
        ("GET", ["vpcs"]) => list(world, "vpcs", catalogue::vpcs()),
        ("GET", ["vpcs", id]) => one("vpc", catalogue::vpcs().into_iter().find(|vpc| vpc["id"] == *id)),
        ("GET", ["images"]) => {
            let all = if ask.parameter("private") == Some("true") { vec![] } else { catalogue::images() };
            list(world, "images", all)
        }
        ("GET", ["images", id]) => one("image", catalogue::image(id)),
        ("GET", ["droplets"]) => droplets::list(world, ask),
        ("POST", ["droplets"]) => droplets::create(world, ask),
        ("GET", ["droplets", id]) => droplets::get(world, number(id)),
        ("DELETE", ["droplets", id]) => droplets::destroy(world, number(id)),
        ("GET", ["droplets", id, "actions"]) => actions::of_droplet(world, ask, number(id)),
        ("POST", ["droplets", id, "actions"]) => actions::begin(world, ask, number(id)),
        ("GET", ["actions", id]) => actions::get(world, number(id)),
        ("GET", ["account", "keys"]) => keys::list(world, ask),
        ("POST", ["account", "keys"]) => keys::create(world, ask),
        ("GET", ["account", "keys", id]) => keys::get(world, id),
        ("DELETE", ["account", "keys", id]) => keys::delete(world, id),
        ("GET", ["firewalls"]) => firewalls::list(world, ask),
        ("POST", ["firewalls"]) => firewalls::create(world, ask),
        ("GET", ["firewalls", id]) => firewalls::get(world, id),
        ("PUT", ["firewalls", id]) => firewalls::update(world, ask, id),
        ("DELETE", ["firewalls", id]) => firewalls::delete(world, id),
        ("GET", ["tags"]) => tags::list(world, ask),
        ("POST", ["tags"]) => tags::create(world, ask),
        ("GET", ["tags", tag]) => tags::get(world, tag),
        ("DELETE", ["tags", tag]) => tags::delete(world, tag),
        ("POST", ["tags", tag, "resources"]) => tags::resources(world, ask, tag, true),
        ("DELETE", ["tags", tag, "resources"]) => tags::resources(world, ask, tag, false),
        _ => Reply::not_found(),
    }
}

fn one(key: &str, found: Option<Value>) -> Reply {
    found.map_or_else(Reply::not_found, |value| Reply::new(200, json!({key: value})))
}

fn account(world: &World) -> Reply {
    let config = &world.config;
    let account = json!({
        "droplet_limit": config.droplet_limit, "floating_ip_limit": 3, "email": "sammy@example.com", "name": "Sammy",
        "uuid": "b6fr89dbf6d9156cace5f3c78dc9851d957381ef", "email_verified": true, "status": config.account_status,
        "status_message": if config.account_status == "active" { "" } else { "A payment is due." },
    });
    Reply::new(200, json!({"account": account}))
}

/// Whether the token may not do it.
pub(super) fn lacks_scope(world: &World, ask: &Ask) -> bool {
    let Some(scopes) = &world.config.scopes else { return false };
    let of = ask.path.trim_start_matches("/v2/").split('/').collect::<Vec<_>>();
    let does = match (ask.method.as_str(), of.as_slice()) {
        ("GET", _) => "read",
        ("PUT", _) | ("POST", [_, _, "actions"]) => "update",
        ("POST", _) => "create",
        _ => "delete",
    };
    let thing = match of.as_slice() {
        ["account", "keys", ..] => "ssh_key",
        ["account"] => "account",
        [first, ..] => first.trim_end_matches('s'),
        [] => "",
    };
    let makes_tags = (ask.method.as_str(), of.as_slice()) == ("POST", &["droplets"])
        && ask
            .elements("tags")
            .iter()
            .filter_map(Value::as_str)
            .any(|tag| !world.tags.contains_key(&tag.to_lowercase()));
    let has = |scope: &str| scopes.contains(&scope);
    !has(&format!("{thing}:{does}")) || (makes_tags && !has("tag:create"))
}
