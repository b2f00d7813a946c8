//! Rows as the older tables had them: the same columns, the words of the older enums, times as text. The token of a host is in none.

use domain::container::{Port, Protocol};
use domain::package::Package;
use domain::status::EnvironmentStatus;
use serde_json::{Value, json};
use store::agents::{CredentialRow, PermissionRow, ToolboxAccessRow};
use store::environments::EnvironmentRow;
use store::instances::InstanceRow;
use store::toolbelts::ItemRow;

use crate::app::older::agents::Belted;
use crate::app::older::templates::{Listed, metadata, short};
use crate::app::older::toolboxes::Toolbox;
use crate::app::older::tools::Tool;

/// A row of `account_tool_environments`. Slugs are empty for a machine that is no droplet.
pub(crate) fn toolbox(toolbox: &Toolbox) -> Value {
    let Toolbox { row, shown } = toolbox;
    let EnvironmentRow { droplet, .. } = row;
    let slug = |slug: &Option<String>| slug.clone().unwrap_or_default();
    // An address with a port, where the host is dialled.
    let dialled = shown.address.as_deref().and_then(|address| address.rsplit_once(':')).map(|(ip, _)| ip);
    json!({
        "id": row.id,
        "user_id": row.user,
        "name": row.name,
        "description": row.description,
        "status": word(row.status),
        "do_droplet_id": droplet.id,
        "do_droplet_name": droplet.name,
        "public_ip_address": row.public_ip_address.as_deref().or(dialled),
        "region_slug": slug(&droplet.region_slug),
        "size_slug": slug(&droplet.size_slug),
        "image_slug": slug(&droplet.image_slug),
        "last_heartbeat_at": row.last_heartbeat_at.map(|at| at.to_string()),
        "dtma_last_known_version": row.dtma_version,
        "dtma_health_details_json": row.health.as_ref().map(|health| &health.system),
        "provisioning_error_message": shown.message,
        "created_at": row.created_at.to_string(),
        "updated_at": row.updated_at.to_string(),
    })
}

/// The words with which the older platform told how far a droplet is.
fn word(status: EnvironmentStatus) -> &'static str {
    match status {
        EnvironmentStatus::Creating => "pending_provision",
        EnvironmentStatus::ErrorCreation => "error_provisioning",
        EnvironmentStatus::Deleting => "deprovisioning",
        EnvironmentStatus::ErrorDeletion => "error_deprovisioning",
        EnvironmentStatus::Provisioning
        | EnvironmentStatus::AwaitingHeartbeat
        | EnvironmentStatus::Active
        | EnvironmentStatus::Unresponsive
        | EnvironmentStatus::ErrorProvisioning
        | EnvironmentStatus::Deprovisioned => status.word(),
    }
}

/// A row of `account_tool_instances`, with what the newest generation read beside it: its container's id and its image.
pub(crate) fn tool(tool: &Tool) -> Value {
    let Tool { row, shown } = tool;
    let InstanceRow { spec, .. } = row;
    let container = spec.launch.container.as_ref();
    let image = match &spec.package {
        Package::Oci { image } => image.clone(),
        _ => shown.package.clone(),
    };
    json!({
        "id": row.id,
        "account_tool_environment_id": row.environment,
        "tool_catalog_id": row.catalog_entry,
        "status_on_toolbox": row.status,
        "config_values": row.settings,
        "instance_name_on_toolbox": row.instance_name_on_toolbox,
        "port_mapping_json": container.map(|container| container.ports.iter().map(port).collect::<Vec<_>>()),
        "last_heartbeat_from_dtma": row.last_heartbeat_from_dtma.map(|at| at.to_string()),
        "version": row.version,
        "base_config_override_json": null,
        "instance_error_message": shown.message,
        "mcp_server_type": if container.is_some() { "standard_tool" } else { "mcp_server" },
        "mcp_endpoint_path": container.is_none().then_some("/mcp"),
        "mcp_transport_type": container.is_none().then_some(spec.launch.transport),
        "mcp_server_capabilities": null,
        "mcp_discovery_metadata": {
            "url": container.is_none().then_some(&shown.url),
            "server_name": shown.server_name,
            "protocol_version": shown.protocol_version,
        },
        "container_id": row.id.0.simple().to_string(),
        "image": image,
        "created_at": row.created_at.to_string(),
        "updated_at": row.updated_at.to_string(),
    })
}

fn port(port: &Port) -> Value {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    json!({ "container_port": port.container, "host_port": port.host, "protocol": protocol })
}

/// A row of `tool_catalog`, with the columns that the template manager wrote beside its own.
pub(crate) fn template(listed: &Listed) -> Value {
    let entry = &listed.entry;
    let image = entry.package.as_ref().map(|package| match package {
        Package::Oci { image } => image.clone(),
        other => other.to_string(),
    });
    let metadata = metadata(listed);
    json!({
        "id": entry.id,
        "name": entry.name,
        "tool_name": short(entry),
        "display_name": entry.title,
        "description": entry.description,
        "category": entry.category,
        "docker_image": image,
        "docker_image_url": image,
        "package_identifier": image,
        "version": metadata["version"],
        "documentation_url": entry.documentation_url,
        "icon_url": entry.listing.icon_url,
        "provider": entry.listing.publisher.as_deref().unwrap_or("Official"),
        "status": "available",
        "is_public": true,
        "is_official": entry.listing.source.is_none() || listed.provided["isOfficial"] == true,
        "is_mcp_server": true,
        "mcp_server_metadata": metadata,
        "required_config_schema": entry.inputs,
        "created_at": entry.listing.published_at.map(|at| at.to_string()),
        "updated_at": entry.listing.updated_at.map(|at| at.to_string()),
    })
}

/// A row of `agent_toolbox_access`, with its toolbox beside it.
pub(crate) fn access((row, environment): &(ToolboxAccessRow, EnvironmentRow)) -> Value {
    json!({
        "id": row.id,
        "agent_id": row.agent,
        "account_tool_environment_id": row.environment,
        "granted_at": row.granted_at.to_string(),
        "account_tool_environments": {
            "id": environment.id, "name": environment.name, "status": word(environment.status),
        },
    })
}

/// A row of `agent_toolbelt_items`.
pub(crate) fn item(of: &Belted, row: &ItemRow) -> Value {
    json!({
        "id": row.id,
        "agent_id": of.agent.id,
        "account_tool_instance_id": row.instance,
        "is_active_for_agent": row.is_active,
        "created_at": row.created_at.to_string(),
        "updated_at": row.updated_at.to_string(),
    })
}

/// A row of `agent_tool_credentials`, without the values, sealed or not.
pub(crate) fn credential(row: &CredentialRow) -> Value {
    json!({
        "id": row.id,
        "agent_toolbelt_item_id": row.item,
        "credential_type": row.credential_type,
        "account_identifier": row.account_identifier,
        "last_validated_at": row.last_validated_at.map(|at| at.to_string()),
        "status": row.status,
        "created_at": row.created_at.to_string(),
        "updated_at": row.updated_at.to_string(),
    })
}

/// A row of `agent_tool_capability_permissions`.
pub(crate) fn permission(row: &PermissionRow) -> Value {
    json!({
        "id": row.id,
        "agent_toolbelt_item_id": row.item,
        "capability_name": row.capability_name,
        "is_allowed": row.is_allowed,
        "created_at": row.created_at.to_string(),
        "updated_at": row.updated_at.to_string(),
    })
}
