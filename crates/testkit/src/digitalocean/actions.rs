//! Actions: what is done to a droplet, and how far it is.

use std::time::Duration;

use serde_json::{Value, json};

use super::reply::{Ask, Reply};
use super::world::{Event, World};
use super::{catalogue, droplets, pages};

/// An action.
#[derive(Debug)]
pub(super) struct Action {
    kind: String,
    droplet: u64,
    region: String,
    started: Duration,
    /// When it is done; `None`: never.
    done_at: Option<Duration>,
    done: bool,
    fails: bool,
    body: Option<Value>,
}

impl World {
    /// Begins an action; its number.
    pub(super) fn begin(&mut self, kind: &str, droplet: u64, region: &str, takes: Duration) -> u64 {
        let id = self.next_id();
        let started = self.clock.now();
        let action = Action {
            kind: kind.to_owned(),
            droplet,
            region: region.to_owned(),
            started,
            done_at: Some(started + takes),
            done: false,
            fails: false,
            body: None,
        };
        self.actions.insert(id, action);
        id
    }

    /// Whether something is being done to a droplet.
    pub(super) fn is_busy(&self, droplet: u64) -> bool {
        let now = self.clock.now();
        self.actions
            .values()
            .any(|action| action.droplet == droplet && action.done_at.is_none_or(|at| now < at))
    }

    /// The latest action never ends, and its droplet never starts.
    pub(super) fn never_boots(&mut self) {
        if let Some(action) = self.actions.values_mut().last().filter(|action| action.kind == "create") {
            action.done_at = None;
            if let Some(droplet) = self.droplets.get_mut(&action.droplet) {
                droplet.boots = false;
            }
        }
    }

    /// The latest action fails.
    pub(super) fn errored(&mut self) {
        if let Some(action) = self.actions.values_mut().last() {
            action.fails = true;
            if let Some(droplet) = self.droplets.get_mut(&action.droplet).filter(|_| action.kind == "create")
            {
                droplet.boots = false;
            }
        }
    }

    /// What has ended by now comes true.
    pub(super) fn finish_actions(&mut self) {
        let now = self.clock.now();
        for action in self.actions.values_mut() {
            if action.done || action.done_at.is_none_or(|at| now < at) {
                continue;
            }
            action.done = true;
            let Some(droplet) = self.droplets.get_mut(&action.droplet).filter(|_| !action.fails) else {
                continue;
            };
            let text = |name: &str| {
                action.body.as_ref().and_then(|body| body[name].as_str()).unwrap_or_default().to_owned()
            };
            match action.kind.as_str() {
                "power_on" | "power_cycle" | "reboot" | "rebuild" => droplet.on = true,
                "power_off" | "shutdown" => droplet.on = false,
                "rename" => droplet.machine.name = text("name"),
                "resize" => droplet.machine.size = text("size"),
                _ => {}
            }
        }
    }
}

pub(super) fn begin(world: &mut World, ask: &Ask, id: u64) -> Reply {
    let Some(droplet) = world.droplets.get_mut(&id) else { return Reply::not_found() };
    let kind = ask.text("type");
    let image = catalogue::image(&droplets::slug_or_id(ask.member("image")));
    let event = match kind {
        "power_on" => Some(Event::On(id)),
        "power_off" => Some(Event::Off(id)),
        "shutdown" => Some(Event::Shutdown(id)),
        "reboot" | "power_cycle" => Some(Event::Rebooted(id)),
        "rebuild" => match &image {
            Some(_) => None,
            None => return Reply::invalid("You specified an invalid image."),
        },
        "resize" if droplet.on => return Reply::invalid("Droplet must be powered off before resizing."),
        "resize" if !catalogue::offers(ask.text("size"), &droplet.machine.region) => {
            return Reply::invalid("Size is not available in this region.");
        }
        "resize" | "rename" => None,
        _ => return Reply::invalid("Type is not a valid action."),
    };
    let region = droplet.machine.region.clone();
    if world.is_busy(id) {
        return Reply::invalid("Droplet already has a pending event.");
    }
    let event = match (event, world.droplets.get_mut(&id), &image) {
        (None, Some(droplet), Some(image)) if kind == "rebuild" => {
            image["slug"].as_str().unwrap_or_default().clone_into(&mut droplet.machine.image);
            Some(Event::Rebuilt(Box::new(droplet.machine.clone())))
        }
        (event, ..) => event,
    };
    let takes = world.config.acts_after;
    let action = world.begin(kind, id, &region, takes);
    if let Some(begun) = world.actions.get_mut(&action) {
        begun.body.clone_from(&ask.body);
    }
    if let Some(event) = event {
        world.event(event);
    }
    Reply::new(201, json!({"action": shown(world, action)}))
}

pub(super) fn get(world: &World, id: u64) -> Reply {
    if world.actions.contains_key(&id) {
        Reply::new(200, json!({"action": shown(world, id)}))
    } else {
        Reply::not_found()
    }
}

pub(super) fn of_droplet(world: &World, ask: &Ask, droplet: u64) -> Reply {
    if !world.droplets.contains_key(&droplet) {
        return Reply::not_found();
    }
    let its = world.actions.iter().rev().filter(|(_, action)| action.droplet == droplet);
    let all = its.map(|(&id, _)| shown(world, id)).collect();
    pages::page(&world.home, ask, "actions", all)
}

fn shown(world: &World, id: u64) -> Value {
    let Some(action) = world.actions.get(&id) else { return Value::Null };
    let ended = action.done_at.filter(|&at| at <= world.clock.now());
    let status = match (ended, action.fails) {
        (None, _) => "in-progress",
        (Some(_), false) => "completed",
        (Some(_), true) => "errored",
    };
    json!({
        "id": id, "status": status, "type": action.kind, "started_at": world.clock.text(action.started),
        "completed_at": ended.map(|at| world.clock.text(at)), "resource_id": action.droplet, "resource_type": "droplet",
        "region": catalogue::region(&action.region), "region_slug": action.region,
    })
}
