//! Droplets.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::reply::{Ask, Reply};
use super::world::{Droplet, Event, Machine, World};
use super::{catalogue, pages};

const MAX_USER_DATA: usize = 64 * 1024;

pub(super) fn list(world: &World, ask: &Ask) -> Reply {
    let now = world.clock.now();
    let listed = |droplet: &&Droplet| {
        let machine = &droplet.machine;
        let tagged = |tag: &str| machine.tags.iter().any(|known| known.eq_ignore_ascii_case(tag));
        droplet.created + world.config.listed_after <= now
            && ask.parameter("tag_name").is_none_or(tagged)
            && ask.parameter("name").is_none_or(|name| machine.name == name)
    };
    let all = world.droplets.values().filter(listed).map(|droplet| shown(world, droplet)).collect();
    pages::page(&world.home, ask, "droplets", all)
}

pub(super) fn get(world: &World, id: u64) -> Reply {
    match world.droplets.get(&id) {
        Some(droplet) => Reply::new(200, json!({"droplet": shown(world, droplet)})),
        None => Reply::not_found(),
    }
}

pub(super) fn destroy(world: &mut World, id: u64) -> Reply {
    if world.destroy(id) { Reply::nothing() } else { Reply::not_found() }
}

pub(super) fn create(world: &mut World, ask: &Ask) -> Reply {
    let (name, region, size) = (ask.text("name"), ask.text("region"), ask.text("size"));
    let image = slug_or_id(ask.member("image"));
    let image = catalogue::image(&image);
    let tags: Vec<String> =
        ask.elements("tags").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let keys: Vec<String> = ask.elements("ssh_keys").iter().map(slug_or_id).collect();
    let vpc = ask.member("vpc_uuid").as_str().map_or_else(|| catalogue::default_vpc(region), str::to_owned);
    let (Some(image), None) = (&image, refused(world, ask, &tags, &keys, &vpc)) else {
        return refused(world, ask, &tags, &keys, &vpc)
            .unwrap_or_else(|| Reply::invalid("You specified an invalid image for Droplet creation."));
    };
    for tag in &tags {
        world.tags.entry(tag.to_lowercase()).or_insert_with(|| tag.clone());
    }
    let id = world.next_id();
    let machine = Machine {
        id,
        name: name.to_owned(),
        region: region.to_owned(),
        size: size.to_owned(),
        image: image["slug"].as_str().unwrap_or_default().to_owned(),
        tags,
        user_data: ask.text("user_data").to_owned(),
        public_v4: free_address(world),
        private_v4: Ipv4Addr::from(0x0a6e_0000 | u32::try_from(id & 0xffff).unwrap_or_default()),
    };
    let flag = |name: &str| ask.member(name).as_bool().unwrap_or_default();
    let droplet = Droplet {
        machine: machine.clone(),
        created: world.clock.now(),
        boots: true,
        on: true,
        extras: ["ipv6", "monitoring"].into_iter().filter(|name| flag(name)).collect(),
        vpc,
    };
    world.droplets.insert(id, droplet);
    let done_after = world.config.boots_after;
    let action = world.begin("create", id, region, done_after);
    world.event(Event::Created(Box::new(machine)));
    let href = format!("{}/v2/actions/{action}", world.home);
    let droplet = world.droplets.get(&id).map(|droplet| shown(world, droplet));
    Reply::new(
        202,
        json!({"droplet": droplet, "links": {"actions": [{"id": action, "rel": "create", "href": href}]}}),
    )
}

/// Why a creation is refused, in the API's words.
fn refused(world: &World, ask: &Ask, tags: &[String], keys: &[String], vpc: &str) -> Option<Reply> {
    let (name, region, size) = (ask.text("name"), ask.text("region"), ask.text("size"));
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let unknown_key = keys.iter().find(|key| !world.keys.values().any(|known| same_key(known, key)));
    let message = if world.config.account_status == "locked" {
        return Some(Reply::error(403, "Your account is locked: contact support."));
    } else if name.is_empty() || !name.chars().all(allowed) {
        "Name Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)"
    } else if catalogue::region(region).is_null() {
        "You specified an invalid region for Droplet creation."
    } else if !catalogue::takes_droplets(region) {
        "Region is not available"
    } else if catalogue::measures(size).is_none() {
        "You specified an invalid size for Droplet creation."
    } else if !catalogue::offers(size, region) {
        "Size is not available in this region."
    } else if MAX_USER_DATA < ask.text("user_data").len() {
        "User data is too long (maximum is 64KB)"
    } else if let Some(key) = unknown_key {
        return Some(Reply::invalid(&format!("{key} are invalid key identifiers for Droplet creation.")));
    } else if tags.iter().any(|tag| !super::tags::is_tag(tag)) {
        "Tag names can only contain letters, numbers, colons, dashes, and underscores"
    } else if !catalogue::vpcs().iter().any(|known| known["id"] == vpc && known["region"] == region) {
        "You specified an invalid VPC for Droplet creation."
    } else if world.config.droplet_limit <= world.droplets.len() {
        "creating this/these droplet(s) will exceed your droplet limit"
    } else {
        return None;
    };
    Some(Reply::invalid(message))
}

fn same_key(known: &Value, key: &str) -> bool {
    known["fingerprint"] == key || known["id"].as_u64().is_some_and(|id| id.to_string() == key)
}

pub(super) fn slug_or_id(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn free_address(world: &World) -> Ipv4Addr {
    let used = |address: &Ipv4Addr| world.droplets.values().any(|d| d.machine.public_v4 == *address);
    let base = u32::from(world.config.network);
    (11..=u32::MAX - base)
        .map(|n| Ipv4Addr::from(base + n))
        .find(|address| !used(address))
        .unwrap_or(Ipv4Addr::LOCALHOST)
}

/// As the API shows it.
pub(super) fn shown(world: &World, droplet: &Droplet) -> Value {
    let machine = &droplet.machine;
    let age = world.clock.now().saturating_sub(droplet.created);
    let status = match (droplet.boots && world.config.boots_after <= age, droplet.on) {
        (false, _) => "new",
        (true, true) => "active",
        (true, false) => "off",
    };
    let networks = if droplet.boots && world.config.network_after <= age {
        let v4 = |ip: Ipv4Addr, mask: &str, kind: &str| {
            let [a, b, c, _] = ip.octets();
            json!({"ip_address": ip, "netmask": mask, "gateway": Ipv4Addr::new(a, b, c, 1), "type": kind})
        };
        let v6 = json!({
            "ip_address": format!("2604:a880:0:1010::{:x}", machine.id & 0xffff), "netmask": 64,
            "gateway": "2604:a880:0:1010::1", "type": "public",
        });
        json!({
            "v4": [v4(machine.private_v4, "255.255.240.0", "private"), v4(machine.public_v4, "255.255.255.0", "public")],
            "v6": if droplet.extras.contains(&"ipv6") { vec![v6] } else { vec![] },
        })
    } else {
        json!({"v4": [], "v6": []})
    };
    let measures = catalogue::measures(&machine.size);
    let mut features = vec!["droplet_agent", "private_networking"];
    features.extend(&droplet.extras);
    json!({
        "id": machine.id, "name": machine.name, "status": status, "locked": world.is_busy(machine.id),
        "memory": measures.map(|m| m.memory), "vcpus": measures.map(|m| m.vcpus), "disk": measures.map(|m| m.disk),
        "disk_info": [{"type": "local", "size": {"amount": measures.map(|m| m.disk), "unit": "gib"}}],
        "kernel": null, "created_at": world.clock.text(droplet.created), "features": features, "backup_ids": [],
        "next_backup_window": null, "snapshot_ids": [], "volume_ids": [], "image": catalogue::image(&machine.image),
        "size": catalogue::size(&machine.size), "size_slug": machine.size, "networks": networks,
        "region": catalogue::region(&machine.region), "tags": machine.tags, "vpc_uuid": droplet.vpc,
    })
}
