-- Toolbelts: one address over what several instances have; and agents, the programs of users that are given one each. The names of
-- tables and columns that the older platform had are kept.
CREATE TABLE agents (
    id          text   NOT NULL PRIMARY KEY,
    account_id  text   NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name        text   NOT NULL,
    description text,
    created_by  text   REFERENCES users (id) ON DELETE SET NULL,
    created_at  bigint NOT NULL,
    updated_at  bigint NOT NULL,
    CONSTRAINT agents_name UNIQUE (account_id, name)
);

CREATE TABLE agent_tokens (
    id           text   NOT NULL PRIMARY KEY,
    agent_id     text   NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    name         text   NOT NULL,
    prefix       text   NOT NULL,
    token_hash   text   NOT NULL,
    created_at   bigint NOT NULL,
    expires_at   bigint,
    last_used_at bigint,
    revoked_at   bigint,
    CONSTRAINT agent_tokens_token_hash UNIQUE (token_hash)
);
CREATE INDEX agent_tokens_by_agent ON agent_tokens (agent_id);

-- A toolbelt's name is an address: no instance of the account has it. `generation` grows with every change by people.
CREATE TABLE toolbelts (
    id          text   NOT NULL PRIMARY KEY,
    account_id  text   NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name        text   NOT NULL,
    agent_id    text   REFERENCES agents (id) ON DELETE CASCADE,
    description text,
    mode        text   NOT NULL DEFAULT 'list' CHECK (mode IN ('list', 'search')),
    on_change   text   NOT NULL DEFAULT 'keep' CHECK (on_change IN ('keep', 'withhold')),
    generation  bigint NOT NULL,
    created_at  bigint NOT NULL,
    updated_at  bigint NOT NULL,
    CONSTRAINT toolbelts_name UNIQUE (account_id, name),
    CONSTRAINT toolbelts_agent_id UNIQUE (agent_id)
);

CREATE TABLE agent_toolbelt_items (
    id                       text    NOT NULL PRIMARY KEY,
    toolbelt_id              text    NOT NULL REFERENCES toolbelts (id) ON DELETE CASCADE,
    account_tool_instance_id text    NOT NULL REFERENCES account_tool_instances (id) ON DELETE CASCADE,
    is_active_for_agent      boolean NOT NULL DEFAULT true,
    created_at               bigint  NOT NULL,
    updated_at               bigint  NOT NULL,
    CONSTRAINT agent_toolbelt_items_account_tool_instance_id UNIQUE (toolbelt_id, account_tool_instance_id)
);
CREATE INDEX agent_toolbelt_items_by_instance ON agent_toolbelt_items (account_tool_instance_id);

-- What members have, as it was first seen or approved since; `seen_…` is what the member says now where that is something else. `name` is
-- the member's own, `shown_name` the one in the toolbelt.
CREATE TABLE toolbelt_features (
    item_id       text    NOT NULL REFERENCES agent_toolbelt_items (id) ON DELETE CASCADE,
    toolbelt_id   text    NOT NULL REFERENCES toolbelts (id) ON DELETE CASCADE,
    kind          text    NOT NULL CHECK (kind IN ('tool', 'prompt', 'resource', 'template')),
    name          text    NOT NULL,
    shown_name    text    NOT NULL,
    -- In the place of the member's own; NULL: the member's own.
    description   text,
    is_on         boolean NOT NULL DEFAULT true,
    approved_hash text    NOT NULL,
    approved_json text    NOT NULL,
    seen_hash     text,
    seen_json     text,
    first_seen_at bigint  NOT NULL,
    seen_at       bigint  NOT NULL,
    CONSTRAINT toolbelt_features_item_name PRIMARY KEY (item_id, kind, name),
    CONSTRAINT toolbelt_features_shown_name UNIQUE (toolbelt_id, kind, shown_name)
);

CREATE TABLE agent_toolbox_access (
    id                          text   NOT NULL PRIMARY KEY,
    agent_id                    text   NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    account_tool_environment_id text   NOT NULL REFERENCES account_tool_environments (id) ON DELETE CASCADE,
    granted_at                  bigint NOT NULL,
    CONSTRAINT agent_toolbox_access_account_tool_environment_id UNIQUE (agent_id, account_tool_environment_id)
);
CREATE INDEX agent_toolbox_access_by_environment ON agent_toolbox_access (account_tool_environment_id);

-- `encrypted_credentials` is sealed for `id`: an object of variables and their values.
CREATE TABLE agent_tool_credentials (
    id                     text   NOT NULL PRIMARY KEY,
    agent_toolbelt_item_id text   NOT NULL REFERENCES agent_toolbelt_items (id) ON DELETE CASCADE,
    credential_type        text   NOT NULL,
    encrypted_credentials  text   NOT NULL,
    account_identifier     text,
    last_validated_at      bigint,
    status                 text   NOT NULL CHECK (status IN ('active', 'revoked', 'requires_reauth', 'error')),
    created_at             bigint NOT NULL,
    updated_at             bigint NOT NULL
);
CREATE INDEX agent_tool_credentials_by_item ON agent_tool_credentials (agent_toolbelt_item_id);

-- What no row allows is denied.
CREATE TABLE agent_tool_capability_permissions (
    id                     text    NOT NULL PRIMARY KEY,
    agent_toolbelt_item_id text    NOT NULL REFERENCES agent_toolbelt_items (id) ON DELETE CASCADE,
    capability_name        text    NOT NULL,
    is_allowed             boolean NOT NULL DEFAULT true,
    created_at             bigint  NOT NULL,
    updated_at             bigint  NOT NULL,
    CONSTRAINT agent_tool_capability_permissions_capability_name UNIQUE (agent_toolbelt_item_id, capability_name)
);

CREATE TABLE agent_mcp_server_access (
    id                       text    NOT NULL PRIMARY KEY,
    agent_id                 text    NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    account_tool_instance_id text    NOT NULL REFERENCES account_tool_instances (id) ON DELETE CASCADE,
    granted_by_user_id       text    REFERENCES users (id) ON DELETE SET NULL,
    access_level             text    NOT NULL DEFAULT 'read_only'
        CHECK (access_level IN ('read_only', 'full_access', 'custom')),
    allowed_tools            text,
    granted_at               bigint  NOT NULL,
    expires_at               bigint,
    is_active                boolean NOT NULL DEFAULT true,
    created_at               bigint  NOT NULL,
    updated_at               bigint  NOT NULL,
    CONSTRAINT agent_mcp_server_access_account_tool_instance_id UNIQUE (agent_id, account_tool_instance_id)
);
CREATE INDEX agent_mcp_server_access_by_instance ON agent_mcp_server_access (account_tool_instance_id);
