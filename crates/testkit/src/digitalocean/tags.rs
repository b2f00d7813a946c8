//! Tags.

use serde_json::{Value, json};

use super::pages;
use super::reply::{Ask, Reply};
use super::world::World;

pub(super) fn is_tag(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-:".contains(c);
    !text.is_empty() && text.len() <= 255 && text.chars().all(allowed)
}

pub(super) fn list(world: &World, ask: &Ask) -> Reply {
    let all = world.tags.keys().map(|key| shown(world, key)).collect();
    pages::page(&world.home, ask, "tags", all)
}

pub(super) fn get(world: &World, tag: &str) -> Reply {
    let key = tag.to_lowercase();
    if world.tags.contains_key(&key) {
        Reply::new(200, json!({"tag": shown(world, &key)}))
    } else {
        Reply::not_found()
    }
}

pub(super) fn create(world: &mut World, ask: &Ask) -> Reply {
    let name = ask.text("name");
    if !is_tag(name) {
        return Reply::invalid(
            "Tag names can only contain letters, numbers, colons, dashes, and underscores",
        );
    }
    let key = name.to_lowercase();
    world.tags.entry(key.clone()).or_insert_with(|| name.to_owned());
    Reply::new(201, json!({"tag": shown(world, &key)}))
}

pub(super) fn delete(world: &mut World, tag: &str) -> Reply {
    if world.tags.remove(&tag.to_lowercase()).is_none() {
        return Reply::not_found();
    }
    for droplet in world.droplets.values_mut() {
        droplet.machine.tags.retain(|known| !known.eq_ignore_ascii_case(tag));
    }
    Reply::nothing()
}

/// Puts a tag onto droplets, or takes it off.
pub(super) fn resources(world: &mut World, ask: &Ask, tag: &str, on: bool) -> Reply {
    let Some(name) = world.tags.get(&tag.to_lowercase()).cloned() else { return Reply::not_found() };
    let number = |resource: &Value| resource["resource_id"].as_str().and_then(|id| id.parse::<u64>().ok());
    let ids: Vec<u64> = ask.elements("resources").iter().filter_map(number).collect();
    if ids.is_empty() || ids.iter().any(|id| !world.droplets.contains_key(id)) {
        return Reply::not_found();
    }
    for id in ids {
        if let Some(droplet) = world.droplets.get_mut(&id) {
            droplet.machine.tags.retain(|known| !known.eq_ignore_ascii_case(tag));
            droplet.machine.tags.extend(on.then(|| name.clone()));
        }
    }
    Reply::nothing()
}

fn shown(world: &World, key: &str) -> Value {
    let tagged = |tags: &[String]| tags.iter().any(|tag| tag.to_lowercase() == key);
    let droplets: Vec<u64> =
        world.droplets.iter().filter(|(_, d)| tagged(&d.machine.tags)).map(|(&id, _)| id).collect();
    let mut of_droplets = json!({"count": droplets.len()});
    if let Some(last) = droplets.last() {
        of_droplets["last_tagged_uri"] = format!("{}/v2/droplets/{last}", world.home).into();
    }
    let none = json!({"count": 0});
    let mut resources = of_droplets.clone();
    resources["droplets"] = of_droplets;
    for kind in ["images", "volumes", "volume_snapshots", "databases"] {
        resources[kind] = none.clone();
    }
    json!({"name": world.tags.get(key), "resources": resources})
}
