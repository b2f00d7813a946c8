//! `tool_catalog`, and `mcp_server_catalog`, the marketplace's.

use super::Tables;
use super::model::{Older, OlderEntry};
use super::row::Row;

pub(super) fn take(tables: &Tables, older: &mut Older) {
    for row in tables.rows("tool_catalog") {
        take_row(row, older, row.flag("is_public").unwrap_or(true), row.flag("is_mcp_server"));
    }
    for row in tables.rows("mcp_server_catalog") {
        take_row(row, older, row.flag("is_published").unwrap_or(true), Some(true));
    }
}

fn take_row(row: &Row, older: &mut Older, is_public: bool, is_mcp: Option<bool>) {
    let Some(id) = row.id("id") else { return row.give_up(older, "it has no id") };
    let Some(name) = row.text(&["name", "tool_name", "display_name"]) else {
        return row.give_up(older, "it has no name");
    };
    let settings = match row.json("required_config_schema") {
        serde_json::Value::Null => row.json("configuration_schema"),
        schema => schema,
    };
    older.entries.push(OlderEntry {
        id,
        table: row.table,
        name,
        title: row.text(&["display_name"]),
        description: row.text(&["description"]),
        publisher: row.text(&["developer_org_name", "provider"]),
        icon_url: row.text(&["icon_url"]),
        documentation_url: row.text(&["documentation_url"]),
        repository_url: row.text(&["repository_url"]),
        category: row.text(&["category"]),
        image: row.text(&["package_identifier", "docker_image_url", "docker_image"]),
        version: row.text(&["version"]),
        is_mcp,
        template: row.json("default_config_template"),
        secrets: row.json("required_secrets_schema"),
        settings,
        status: row.text(&["status"]),
        is_public,
        is_verified: row.flag("is_verified").unwrap_or(false),
        created_at: row.time("created_at"),
    });
}
