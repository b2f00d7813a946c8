//! `account_tool_environments`, of both generations that have it: the address was `ip_address` first.

use super::Tables;
use super::model::{Older, OlderEnvironment};

pub(super) fn take(tables: &Tables, older: &mut Older) {
    for row in tables.rows("account_tool_environments") {
        let Some(id) = row.id("id") else {
            row.give_up(older, "it has no id");
            continue;
        };
        older.environments.push(OlderEnvironment {
            id,
            user: row.id("user_id"),
            agent: None,
            name: row.text(&["name"]),
            description: row.text(&["description"]),
            status: row.text(&["status"]),
            droplet: row.count("do_droplet_id"),
            droplet_name: row.text(&["do_droplet_name"]),
            region: row.text(&["region_slug"]),
            size: row.text(&["size_slug"]),
            image: row.text(&["image_slug"]),
            address: row.text(&["public_ip_address", "ip_address"]).map(|text| without_mask(&text)),
            token: row.secret(&["dtma_bearer_token", "dtma_auth_token"]),
            version: row.text(&["dtma_last_known_version"]),
            error: row.text(&["provisioning_error_message"]),
            created_at: row.time("created_at"),
            updated_at: row.time("updated_at"),
        });
    }
}

/// An `inet` may be written with a mask.
pub(super) fn without_mask(text: &str) -> String {
    text.split('/').next().unwrap_or(text).to_owned()
}
