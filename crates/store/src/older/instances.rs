//! `account_tool_instances`: the newest generation.

use super::Tables;
use super::model::{Generation, Older, OlderInstance};
use super::row::Row;

const TABLE: &str = "account_tool_instances";

pub(super) fn take(tables: &Tables, older: &mut Older) {
    if !tables.has(TABLE) {
        return;
    }
    older.generations.insert(Generation::Instances);
    for row in tables.rows(TABLE) {
        take_row(row, older);
    }
}

/// Reads a row of this generation's, or of the one before, whose table was renamed to this.
pub(super) fn take_row(row: &Row, older: &mut Older) {
    let Some(id) = row.id("id") else { return row.give_up(older, "it has no id") };
    let Some(environment) = row.id("account_tool_environment_id") else {
        return row.give_up(older, "it names no environment");
    };
    older.instances.push(OlderInstance {
        id,
        table: row.table,
        environment,
        entry: row.id("tool_catalog_id"),
        name: row.text(&["instance_name_on_toolbox"]),
        status: row.text(&["status_on_toolbox", "deployment_status", "status"]),
        enabled: row.flag("enabled").or(row.flag("is_active")),
        config: row.json("config_values"),
        ports: row.json("port_mapping_json"),
        options: row.json("base_config_override_json"),
        image: row.text(&["docker_image_url"]),
        version: row.text(&["version", "actual_installed_version", "version_to_install"]),
        error: row.text(&["instance_error_message", "error_message"]),
        kind: row.text(&["mcp_server_type"]),
        endpoint: row.text(&["mcp_endpoint_path"]),
        transport: row.text(&["mcp_transport_type"]),
        created_at: row.time("created_at"),
        updated_at: row.time("updated_at"),
    });
}
