-- The tables of the control plane. One text for SQLite and PostgreSQL: ids are `text` (UUID), times are `bigint`
-- (microseconds since 1970 UTC), JSON is `text` that was checked before it got here.
--
-- A unique constraint is named after its table and its last column: that column is the field that the caller is told
-- about when the value is taken.

CREATE TABLE accounts (
    id         text   NOT NULL PRIMARY KEY,
    name       text   NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT accounts_name UNIQUE (name)
);

CREATE TABLE users (
    id         text   NOT NULL PRIMARY KEY,
    name       text   NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT users_name UNIQUE (name)
);

CREATE TABLE account_members (
    account_id text   NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    user_id    text   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       text   NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
    created_at bigint NOT NULL,
    PRIMARY KEY (account_id, user_id)
);

-- A token belongs to a membership, so that it ends with it.
CREATE TABLE api_tokens (
    id           text   NOT NULL PRIMARY KEY,
    account_id   text   NOT NULL,
    user_id      text   NOT NULL,
    name         text   NOT NULL,
    prefix       text   NOT NULL,
    token_hash   text   NOT NULL,
    created_at   bigint NOT NULL,
    expires_at   bigint,
    last_used_at bigint,
    revoked_at   bigint,
    CONSTRAINT api_tokens_token_hash UNIQUE (token_hash),
    CONSTRAINT api_tokens_member FOREIGN KEY (account_id, user_id)
        REFERENCES account_members (account_id, user_id) ON DELETE CASCADE
);

CREATE INDEX api_tokens_by_member ON api_tokens (account_id, user_id);

-- `entry_json` is the whole entry; the other columns repeat what readers of the older schema look at.
CREATE TABLE tool_catalog (
    id                           text    NOT NULL PRIMARY KEY,
    tool_name                    text    NOT NULL,
    name                         text    NOT NULL,
    description                  text,
    developer_org_name           text,
    icon_url                     text,
    documentation_url            text,
    category                     text,
    categories                   text    NOT NULL DEFAULT '[]',
    provider                     text,
    packaging_type               text    NOT NULL,
    package_identifier           text    NOT NULL,
    docker_image_url             text,
    version_info                 text    NOT NULL DEFAULT '{}',
    version                      text    NOT NULL,
    default_config_template      text    NOT NULL DEFAULT '{}',
    resource_requirements        text    NOT NULL DEFAULT '{}',
    required_secrets_schema      text    NOT NULL DEFAULT '[]',
    required_config_schema       text    NOT NULL DEFAULT '{}',
    required_capabilities_schema text    NOT NULL DEFAULT '[]',
    status                       text    NOT NULL DEFAULT 'available'
        CHECK (status IN ('available', 'beta', 'experimental', 'deprecated', 'archived')),
    is_public                    boolean NOT NULL DEFAULT true,
    created_by                   text    REFERENCES users (id) ON DELETE SET NULL,
    entry_json                   text,
    created_at                   bigint  NOT NULL,
    updated_at                   bigint  NOT NULL,
    CONSTRAINT tool_catalog_tool_name UNIQUE (tool_name),
    CONSTRAINT tool_catalog_name UNIQUE (name)
);

-- The generic MCP entry: instances of packages that are in no catalog refer to it. It has no `entry_json`, because
-- there is nothing in it that could be deployed by itself.
INSERT INTO tool_catalog (
    id, tool_name, name, description, category, categories, provider, packaging_type, package_identifier,
    docker_image_url, version_info, version, default_config_template, resource_requirements, created_at, updated_at
) VALUES (
    '00000000-0000-0000-0000-000000000001', 'MCP Server', 'MCP Server',
    'A Model Context Protocol server from a package that is in no catalog', 'mcp', '["mcp"]', 'Official',
    'docker_image', 'mcpserver/generic:latest', 'mcpserver/generic:latest',
    '{"default_version":"latest","available_versions":["latest"]}', '1.0.0',
    '{"transport":"stdio","endpoint":"/mcp","capabilities":["tools","resources","prompts"]}',
    '{"memory":"256Mi","cpu":"0.25"}', 1735689600000000, 1735689600000000
);

CREATE TABLE account_tool_environments (
    id                         text   NOT NULL PRIMARY KEY,
    account_id                 text   NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    user_id                    text   REFERENCES users (id) ON DELETE SET NULL,
    name                       text   NOT NULL,
    description                text,
    status                     text   NOT NULL,
    do_droplet_id              bigint,
    do_droplet_name            text,
    region_slug                text,
    size_slug                  text,
    image_slug                 text,
    public_ip_address          text,
    reach_json                 text   NOT NULL,
    dtma_token_sealed          text,
    dtma_token_hash            text,
    dtma_last_known_version    text,
    dtma_health_details_json   text,
    dtma_started_at            bigint NOT NULL DEFAULT 0,
    heartbeat_sequence         bigint NOT NULL DEFAULT 0,
    last_heartbeat_at          bigint,
    provisioning_error_message text,
    created_at                 bigint NOT NULL,
    updated_at                 bigint NOT NULL,
    CONSTRAINT account_tool_environments_name UNIQUE (account_id, name),
    CONSTRAINT account_tool_environments_id UNIQUE (account_id, id),
    CONSTRAINT account_tool_environments_do_droplet_id UNIQUE (do_droplet_id),
    CONSTRAINT account_tool_environments_dtma_token_hash UNIQUE (dtma_token_hash)
);

-- The environment is referred to together with the account, so that no row can name another tenant's machine.
CREATE TABLE account_tool_instances (
    id                          text    NOT NULL PRIMARY KEY,
    account_id                  text    NOT NULL,
    account_tool_environment_id text    NOT NULL,
    tool_catalog_id             text    NOT NULL,
    name                        text    NOT NULL,
    instance_name_on_toolbox    text    NOT NULL,
    desired_state               text    NOT NULL CHECK (desired_state IN ('running', 'stopped')),
    generation                  bigint  NOT NULL,
    restarts_asked              bigint  NOT NULL DEFAULT 0,
    observed_generation         bigint  NOT NULL DEFAULT 0,
    status_on_toolbox           text    NOT NULL,
    instance_error_message      text,
    spec_json                   text    NOT NULL,
    config_values               text    NOT NULL DEFAULT '{}',
    secret_names_json           text    NOT NULL DEFAULT '[]',
    secrets_sealed              text,
    version                     text,
    digest                      text,
    report_json                 text,
    last_heartbeat_from_dtma    bigint,
    deleting                    boolean NOT NULL DEFAULT false,
    port_mapping_json           text,
    base_config_override_json   text,
    mcp_server_type             text CHECK (mcp_server_type IN ('standard_tool', 'mcp_server')),
    mcp_endpoint_path           text,
    mcp_transport_type          text CHECK (mcp_transport_type IN ('stdio', 'http', 'sse', 'websocket')),
    mcp_server_capabilities     text,
    mcp_discovery_metadata      text,
    created_at                  bigint  NOT NULL,
    updated_at                  bigint  NOT NULL,
    CONSTRAINT account_tool_instances_name UNIQUE (account_id, name),
    CONSTRAINT account_tool_instances_instance_name_on_toolbox
        UNIQUE (account_tool_environment_id, instance_name_on_toolbox),
    CONSTRAINT account_tool_instances_environment FOREIGN KEY (account_id, account_tool_environment_id)
        REFERENCES account_tool_environments (account_id, id) ON DELETE CASCADE,
    CONSTRAINT account_tool_instances_catalog FOREIGN KEY (tool_catalog_id)
        REFERENCES tool_catalog (id) ON DELETE RESTRICT,
    CONSTRAINT account_tool_instances_transport
        CHECK (mcp_server_type IS NULL OR mcp_server_type <> 'mcp_server' OR mcp_transport_type IS NOT NULL)
);

CREATE INDEX account_tool_instances_by_catalog ON account_tool_instances (tool_catalog_id);

-- Append-only, and without references: a line outlives what it is about.
CREATE TABLE audit_log (
    id          text   NOT NULL PRIMARY KEY,
    account_id  text   NOT NULL,
    actor       text   NOT NULL,
    action      text   NOT NULL,
    object_kind text   NOT NULL,
    object_id   text,
    object_name text,
    detail_json text   NOT NULL,
    at          bigint NOT NULL
);

CREATE INDEX audit_log_by_account ON audit_log (account_id, at);
