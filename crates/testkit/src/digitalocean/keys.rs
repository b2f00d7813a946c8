//! Public keys.

use serde_json::{Value, json};

use super::pages;
use super::reply::{Ask, Reply};
use super::world::World;

pub(super) fn list(world: &World, ask: &Ask) -> Reply {
    pages::page(&world.home, ask, "ssh_keys", world.keys.values().cloned().collect())
}

fn find(world: &World, id_or_fingerprint: &str) -> Option<u64> {
    let same = |(id, key): &(&u64, &Value)| {
        id.to_string() == id_or_fingerprint || key["fingerprint"] == id_or_fingerprint
    };
    world.keys.iter().find(same).map(|(&id, _)| id)
}

pub(super) fn get(world: &World, id_or_fingerprint: &str) -> Reply {
    match find(world, id_or_fingerprint) {
        Some(id) => Reply::new(200, json!({"ssh_key": world.keys.get(&id)})),
        None => Reply::not_found(),
    }
}

pub(super) fn create(world: &mut World, ask: &Ask) -> Reply {
    let (name, public_key) = (ask.text("name"), ask.text("public_key").trim());
    if name.is_empty() {
        return Reply::invalid("Name can't be blank");
    }
    if !public_key.starts_with("ssh-") && !public_key.starts_with("ecdsa-") {
        return Reply::invalid("Key invalid, key should be of the format `type key [comment]`");
    }
    if world.keys.values().any(|known| known["public_key"] == public_key) {
        return Reply::invalid("SSH Key is already in use on your account");
    }
    let id = world.next_id();
    // Only as unlike as it has to be: nothing here computes the real one.
    let bytes: Vec<String> = id.to_be_bytes().iter().chain(&[0x5c; 8]).map(|b| format!("{b:02x}")).collect();
    let key = json!({"id": id, "name": name, "public_key": public_key, "fingerprint": bytes.join(":")});
    world.keys.insert(id, key.clone());
    Reply::new(201, json!({"ssh_key": key}))
}

pub(super) fn delete(world: &mut World, id_or_fingerprint: &str) -> Reply {
    match find(world, id_or_fingerprint) {
        Some(id) => {
            world.keys.remove(&id);
            Reply::nothing()
        }
        None => Reply::not_found(),
    }
}
