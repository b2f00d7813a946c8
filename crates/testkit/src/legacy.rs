//! Older databases as the older platform's migrations left them, one of each generation, on a PostgreSQL of the tests.

use crate::postgres;

/// An id that says what it is of.
pub fn id(kind: u8, number: u32) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

/// Users.
pub const USER: u8 = 0xa;
/// Agents.
pub const AGENT: u8 = 0xb;
/// Environments.
pub const ENVIRONMENT: u8 = 0xc;
/// Instances.
pub const INSTANCE: u8 = 0xd;
/// Entries of the catalog.
pub const ENTRY: u8 = 0xe;
/// Secrets of the vault.
pub const SECRET: u8 = 0xf;
/// Items of toolbelts.
pub const ITEM: u8 = 0x1a;
/// Credentials of agents.
pub const CREDENTIAL: u8 = 0x1b;
/// Permissions of agents.
pub const PERMISSION: u8 = 0x1c;
/// Access of agents to servers.
pub const ACCESS: u8 = 0x1d;
/// Access of agents to environments.
pub const TOOLBOX: u8 = 0x1e;
/// Connections of agents.
pub const CONNECTION: u8 = 0x1f;
/// The older platform's generic entry, and Berth's.
pub const GENERIC: &str = "00000000-0000-0000-0000-000000000001";

/// How many users there are, each with an agent, where nobody says.
pub const USERS: u32 = 3;
/// From a user's first environment to their second.
pub const SECOND: u32 = 10_000;
/// Users whose rows are written at once: an argument of a program has a greatest length.
const AT_ONCE: usize = 10;

/// An older database.
#[derive(Debug)]
pub struct Legacy {
    /// Its URL, as a superuser.
    pub url: String,
    users: u32,
}

impl Legacy {
    /// Users, agents and a vault, which every generation stood beside.
    fn new(users: u32) -> Self {
        let legacy = Self { url: postgres::database(), users };
        legacy.run(&format!(
            "CREATE SCHEMA auth;
            CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, encrypted_password text,
                created_at timestamptz NOT NULL DEFAULT now());
            CREATE SCHEMA vault;
            CREATE TABLE vault.secrets (id uuid PRIMARY KEY, name text, secret text NOT NULL);
            CREATE VIEW vault.decrypted_secrets AS SELECT id, name, secret,
                CASE WHEN secret LIKE 'lost%' THEN NULL ELSE reverse(secret) END AS decrypted_secret FROM vault.secrets;
            CREATE TABLE agents (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
                name text NOT NULL, description text, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
            {CATALOG}"
        ));
        legacy.for_each_user(|user| {
            format!(
                "INSERT INTO auth.users VALUES ('{}', 'Ada.{user}@Example.com', 'x', {at});
                INSERT INTO agents VALUES ('{}', '{}', 'Research Agent', 'reads', {at}, {at});",
                id(USER, user),
                id(AGENT, user),
                id(USER, user),
                at = at(user),
            )
        });
        legacy.run(&format!(
            "INSERT INTO vault.secrets VALUES ('{}', 'token', reverse('hunter2')), ('{}', 'other', 'lost-key');
            INSERT INTO tool_catalog (id, tool_name, name, package_identifier, docker_image_url, description, category,
                    required_secrets_schema, required_config_schema, default_config_template) VALUES
                ('{GENERIC}', 'MCP Server', 'MCP Server', 'mcpserver/generic:latest', 'mcpserver/generic:latest', '',
                    'mcp', '[]', '{{}}', '{{\"transport\": \"stdio\"}}'),
                ('{}', 'PostgreSQL', 'PostgreSQL', 'postgres:17', 'postgres:17', 'A database', 'database',
                    '[{{\"name\": \"password\", \"env_var_name\": \"POSTGRES_PASSWORD\", \"required\": true}}]',
                    '{{\"properties\": {{\"POSTGRES_DB\": {{\"type\": \"string\", \"default\": \"app\"}}}}}}', '{{}}'),
                ('{}', 'Context7', 'Context7', 'ghcr.io/upstash/context7:1.0', 'x', 'Documentation', 'mcp',
                    '[{{\"name\": \"api_key\", \"env_var_name\": \"CONTEXT7_API_KEY\", \"type\": \"api_key\"}}]',
                    '{{}}', '{{\"transport\": \"http\", \"endpoint\": \"/mcp\"}}'),
                ('{}', 'Broken', 'Broken', 'Not An Image', 'x', 'x', 'x', '[]', '{{}}', '{{}}');",
            id(SECRET, 1),
            id(SECRET, 2),
            id(ENTRY, 1),
            id(ENTRY, 2),
            id(ENTRY, 3),
        ));
        legacy
    }

    /// The first generation: a droplet for each agent.
    pub fn droplets() -> Self {
        let legacy = Self::new(USERS);
        legacy.run(
            "CREATE TYPE droplet_status_enum AS ENUM ('pending_creation', 'creating', 'active', 'error_creation',
                'pending_deletion', 'deleting', 'deleted', 'error_deletion', 'unresponsive');
            CREATE TYPE tool_installation_status_enum AS ENUM ('pending_install', 'installing', 'active', 'error_install',
                'pending_uninstall', 'uninstalling', 'uninstalled', 'error_uninstall', 'pending_config', 'stopped',
                'starting', 'stopping', 'error_runtime', 'disabled');
            CREATE TABLE agent_droplets (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
                agent_id uuid NOT NULL UNIQUE REFERENCES agents ON DELETE CASCADE, do_droplet_id bigint NOT NULL UNIQUE,
                ip_address inet, status droplet_status_enum NOT NULL, region_slug text, size_slug text, image_slug text,
                tags text[], configuration jsonb DEFAULT '{}', dtma_auth_token text UNIQUE,
                dtma_last_reported_status jsonb, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
            CREATE TABLE agent_droplet_tools (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
                agent_droplet_id uuid NOT NULL REFERENCES agent_droplets ON DELETE CASCADE,
                tool_catalog_id uuid NOT NULL REFERENCES tool_catalog ON DELETE RESTRICT,
                version_to_install text, actual_installed_version text, status tool_installation_status_enum NOT NULL,
                config_values jsonb DEFAULT '{}', runtime_details jsonb, enabled boolean NOT NULL DEFAULT true,
                error_message text, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);",
        );
        legacy.for_each_user(|user| {
            format!(
                "INSERT INTO agent_droplets VALUES ('{environment}', '{}', {user}00, '{address}', 'active', 'nyc3',
                    's-1vcpu-1gb', 'ubuntu-22-04-x64-docker', '{{agent}}', '{{}}', 'token-{user}', '{{}}', {at}, {at});
                INSERT INTO agent_droplet_tools VALUES
                    ('{}', '{environment}', '{}', '17', '17', 'active', '{{\"secret_vault_ids\": {{\"password\": \"{}\"}},
                        \"POSTGRES_DB\": \"app\"}}', '{{\"container_id\": \"x\"}}', true, NULL, {at}, {at}),
                    ('{}', '{environment}', '{}', '1', '1', 'stopped', '{{}}', '{{}}', false, 'gone', {at}, {at});",
                id(AGENT, user),
                id(INSTANCE, user * 10),
                id(ENTRY, 1),
                id(SECRET, 1),
                id(INSTANCE, user * 10 + 1),
                id(ENTRY, 2),
                environment = id(ENVIRONMENT, user),
                at = at(user),
                address = address(user),
            )
        });
        legacy
    }

    /// The generation between: environments of users, and tools that are active in them.
    pub fn active_tools() -> Self {
        let legacy = Self::new(USERS);
        legacy.run(&format!(
            "{ENUMS}
            CREATE TABLE account_tool_environments (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
                user_id uuid NOT NULL UNIQUE REFERENCES auth.users ON DELETE CASCADE, do_droplet_id bigint UNIQUE,
                ip_address inet, status account_tool_environment_status_enum NOT NULL DEFAULT 'inactive',
                region_slug text NOT NULL, size_slug text NOT NULL, image_slug text NOT NULL,
                last_heartbeat_at timestamptz, name text, description text, dtma_bearer_token text UNIQUE,
                created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
            CREATE TABLE account_tool_environment_active_tools (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
                account_tool_environment_id uuid NOT NULL REFERENCES account_tool_environments ON DELETE CASCADE,
                tool_catalog_id uuid NOT NULL REFERENCES tool_catalog ON DELETE RESTRICT,
                status_on_toolbox account_tool_installation_status_enum NOT NULL DEFAULT 'pending_install',
                config_values jsonb DEFAULT '{{}}', instance_name_on_toolbox text, runtime_details jsonb, error_message text,
                enabled boolean NOT NULL DEFAULT true, version_to_install text, actual_installed_version text,
                created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
                CONSTRAINT uq_account_env_tool UNIQUE (account_tool_environment_id, tool_catalog_id));"
        ));
        legacy.agent_tables("account_tool_environment_active_tools");
        legacy.for_each_user(|user| {
            format!(
                "INSERT INTO account_tool_environments VALUES ('{environment}', '{}', {user}00, '{address}',
                    'unresponsive', 'nyc1', 's-1vcpu-1gb', 'ubuntu', {at}, 'My Toolbox', NULL, 'token-{user}', {at}, {at});
                INSERT INTO account_tool_environment_active_tools VALUES
                    ('{}', '{environment}', '{}', 'active', '{{}}', 'db', '{{}}', NULL, true, '17', '17', {at}, {at}),
                    ('{}', '{environment}', '{}', 'active', '{{}}', 'context7', '{{}}', NULL, false, '1', '1', {at}, {at});",
                id(USER, user),
                id(INSTANCE, user * 10),
                id(ENTRY, 1),
                id(INSTANCE, user * 10 + 1),
                id(ENTRY, 2),
                environment = id(ENVIRONMENT, user),
                at = at(user),
                address = address(user),
            ) + agent_rows(user).as_str()
        });
        legacy
    }

    /// The newest generation.
    pub fn instances() -> Self {
        Self::instances_of(USERS)
    }

    /// The newest generation, with so many users.
    pub fn instances_of(users: u32) -> Self {
        let legacy = Self::new(users);
        legacy.run(&format!("{ENUMS}{NEWEST}"));
        legacy.agent_tables("account_tool_instances");
        legacy.for_each_user(|user| {
            format!(
                "INSERT INTO account_tool_environments (id, user_id, do_droplet_id, public_ip_address, status, region_slug,
                        size_slug, image_slug, name, dtma_bearer_token, do_droplet_name, created_at, updated_at) VALUES
                    ('{environment}', '{owner}', {user}00, '{address}', 'active', 'nyc1', 's-1vcpu-1gb', 'ubuntu',
                        'My Toolbox', 'token-{user}', 'toolbox-{user}', {at}, {at}),
                    ('{second}', '{owner}', NULL, NULL, 'error_creation', 'nyc1', 's-1vcpu-1gb', 'ubuntu', NULL, NULL, NULL,
                        {at}, {at});
                INSERT INTO account_tool_instances (id, account_tool_environment_id, tool_catalog_id, status_on_toolbox,
                        config_values, instance_name_on_toolbox, port_mapping_json, base_config_override_json,
                        mcp_server_type, mcp_endpoint_path, mcp_transport_type, created_at, updated_at) VALUES
                    ('{}', '{environment}', '{}', 'running', '{{\"secret_vault_ids\": {{\"password\": \"{}\"}}}}', 'db',
                        '{{\"container_port\": 5432, \"host_port\": 5432}}', NULL, 'standard_tool', NULL, NULL, {at}, {at}),
                    ('{}', '{environment}', '{}', 'error_runtime', '{{\"LOG_LEVEL\": \"debug\"}}', 'Context7 MCP Server-1750',
                        '{{\"8080\": \"8080\"}}', '{{\"Env\": [\"CONTEXT7_API_KEY=c7-{user}\"]}}', 'mcp_server', '/mcp', 'sse',
                        {at}, {at});",
                id(INSTANCE, user * 10),
                id(ENTRY, 1),
                id(SECRET, 1),
                id(INSTANCE, user * 10 + 1),
                id(ENTRY, 2),
                environment = id(ENVIRONMENT, user),
                second = id(ENVIRONMENT, user + SECOND),
                owner = id(USER, user),
                at = at(user),
                address = address(user),
            ) + agent_rows(user).as_str()
        });
        legacy
    }

    /// The newest with the marketplace and the tables of MCP connections, in their second shape.
    pub fn mcp() -> Self {
        let legacy = Self::instances();
        legacy.run(
            "CREATE TABLE mcp_server_catalog (id uuid PRIMARY KEY, name text UNIQUE, display_name text NOT NULL,
                description text, version text NOT NULL, docker_image text NOT NULL, icon_url text, category text,
                provider text, capabilities jsonb, required_permissions jsonb, configuration_schema jsonb,
                documentation_url text, repository_url text, license text, tags jsonb, is_verified boolean,
                is_published boolean, download_count int, rating_average numeric, rating_count int, created_by uuid,
                created_at timestamptz NOT NULL DEFAULT '2025-01-01T00:00:00Z');
            CREATE TABLE mcp_configurations (id serial PRIMARY KEY, agent_id uuid REFERENCES agents ON DELETE CASCADE,
                is_enabled boolean DEFAULT true);
            CREATE TABLE mcp_servers (id serial PRIMARY KEY, config_id int REFERENCES mcp_configurations ON DELETE CASCADE,
                name varchar NOT NULL, endpoint_url text NOT NULL, vault_api_key_id uuid, timeout_ms int DEFAULT 5000,
                max_retries int DEFAULT 3, retry_backoff_ms int DEFAULT 1000, priority int DEFAULT 0,
                is_active boolean DEFAULT true, capabilities jsonb, created_at timestamptz NOT NULL);
            CREATE TABLE agent_mcp_connections (id uuid PRIMARY KEY, agent_id uuid REFERENCES agents ON DELETE CASCADE,
                connection_name text NOT NULL, connection_type text, server_url text, vault_server_url_id uuid,
                auth_config jsonb, server_capabilities jsonb, server_info jsonb, protocol_version text DEFAULT '2024-11-05',
                is_active boolean DEFAULT true, last_successful_call timestamptz, created_at timestamptz NOT NULL,
                UNIQUE (agent_id, connection_name));
            CREATE TABLE mcp_tools_cache (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), connection_id uuid, tool_name text);
            CREATE TABLE user_ssh_keys (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, key_name text);
            INSERT INTO mcp_tools_cache (tool_name) VALUES ('a'), ('b');
            INSERT INTO user_ssh_keys (key_name) VALUES ('default');",
        );
        legacy.run(&format!(
            "INSERT INTO mcp_server_catalog (id, name, display_name, version, docker_image, category, is_verified,
                    is_published, configuration_schema) VALUES
                ('{}', 'weather', 'Weather', '2.0', 'ghcr.io/acme/weather:2', 'data', true, true,
                    '{{\"properties\": {{\"UNITS\": {{\"enum\": [\"c\", \"f\"]}}}}, \"required\": [\"UNITS\"]}}'),
                ('{}', 'draft', 'Draft', '0.1', 'ghcr.io/acme/draft:0', 'data', false, false, NULL);",
            id(ENTRY, 100),
            id(ENTRY, 101),
        ));
        legacy.for_each_user(|user| {
            format!(
                "INSERT INTO mcp_configurations (id, agent_id) VALUES ({user}, '{agent}');
                INSERT INTO mcp_servers (id, config_id, name, endpoint_url, vault_api_key_id, created_at) VALUES
                    ({user}1, {user}, 'Search API', 'https://search.example.com/mcp', '{}', {at}),
                    ({user}2, {user}, 'Odd', 'ftp://odd.example.com', NULL, {at});
                INSERT INTO agent_mcp_connections (id, agent_id, connection_name, server_url, vault_server_url_id, auth_config,
                        is_active, created_at) VALUES
                    ('{}', '{agent}', 'wiki', 'https://wiki.example.com/sse', NULL, '{{\"token\": \"w-{user}\"}}', false, {at}),
                    ('{}', '{agent}', 'Zapier', NULL, '{}', '{{}}', true, {at});",
                id(SECRET, 1),
                id(CONNECTION, user * 10),
                id(CONNECTION, user * 10 + 1),
                id(SECRET, 1),
                agent = id(AGENT, user),
                at = at(user),
            )
        });
        legacy
    }

    fn agent_tables(&self, instances: &str) {
        self.run(&format!(
            "CREATE TYPE agent_tool_credential_status_enum AS ENUM ('active', 'revoked', 'requires_reauth', 'error');
            CREATE TABLE agent_toolbox_access (id uuid PRIMARY KEY, agent_id uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
                account_tool_environment_id uuid NOT NULL REFERENCES account_tool_environments ON DELETE CASCADE,
                granted_at timestamptz NOT NULL DEFAULT now(), UNIQUE (agent_id, account_tool_environment_id));
            CREATE TABLE agent_toolbelt_items (id uuid PRIMARY KEY, agent_id uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
                account_tool_instance_id uuid NOT NULL REFERENCES {instances} ON DELETE CASCADE,
                is_active_for_agent boolean NOT NULL DEFAULT true, created_at timestamptz NOT NULL,
                updated_at timestamptz NOT NULL, UNIQUE (agent_id, account_tool_instance_id));
            CREATE TABLE agent_tool_credentials (id uuid PRIMARY KEY,
                agent_toolbelt_item_id uuid NOT NULL REFERENCES agent_toolbelt_items ON DELETE CASCADE,
                credential_type text NOT NULL, encrypted_credentials text NOT NULL, account_identifier text,
                last_validated_at timestamptz, status agent_tool_credential_status_enum NOT NULL DEFAULT 'active',
                created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
            CREATE TABLE agent_tool_capability_permissions (id uuid PRIMARY KEY,
                agent_toolbelt_item_id uuid NOT NULL REFERENCES agent_toolbelt_items ON DELETE CASCADE,
                capability_name text NOT NULL, is_allowed boolean NOT NULL DEFAULT true, created_at timestamptz NOT NULL,
                updated_at timestamptz NOT NULL, UNIQUE (agent_toolbelt_item_id, capability_name));
            CREATE TABLE agent_mcp_server_access (id uuid PRIMARY KEY, agent_id uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
                account_tool_instance_id uuid NOT NULL REFERENCES {instances} ON DELETE CASCADE,
                granted_by_user_id uuid NOT NULL REFERENCES auth.users, access_level text NOT NULL DEFAULT 'read_only',
                allowed_tools jsonb, granted_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz,
                is_active boolean NOT NULL DEFAULT true, UNIQUE (agent_id, account_tool_instance_id));"
        ));
    }

    /// Runs statements for each user, those of several at once.
    fn for_each_user(&self, statements: impl Fn(u32) -> String) {
        let all: Vec<u32> = (1..=self.users).collect();
        for some in all.chunks(AT_ONCE) {
            self.run(&some.iter().map(|user| statements(*user)).collect::<String>());
        }
    }

    /// Runs statements on it.
    pub fn run(&self, statements: &str) -> String {
        postgres::run(&self.url, statements)
    }

    /// The same, with references that lead nowhere, as hand-made repairs left them.
    pub fn break_in(&self, statements: &str) {
        self.run(&format!("SET session_replication_role = replica; {statements}"));
    }

    /// Everything in it.
    pub fn dump(&self) -> String {
        let tables = self.run(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables
            WHERE table_schema IN ('public', 'auth', 'vault') ORDER BY 1",
        );
        let rows =
            tables.lines().map(|table| format!("SELECT '{table} ' || to_jsonb(t)::text FROM {table} t"));
        self.run(&format!("{} ORDER BY 1", rows.collect::<Vec<_>>().join(" UNION ALL ")))
    }
}

/// What a user's agent has and may.
fn agent_rows(user: u32) -> String {
    format!(
            "INSERT INTO agent_toolbox_access VALUES ('{}', '{agent}', '{}', {at});
            INSERT INTO agent_toolbelt_items VALUES ('{item}', '{agent}', '{instance}', true, {at}, {at});
            INSERT INTO agent_tool_credentials VALUES
                ('{}', '{item}', 'api_key', '{}', 'ada@example.com', {at}, 'active', {at}, {at}),
                ('{}', '{item}', 'oauth2', '{}', NULL, NULL, 'requires_reauth', {at}, {at});
            INSERT INTO agent_tool_capability_permissions VALUES
                ('{}', '{item}', 'resolve-library-id', true, {at}, {at}), ('{}', '{item}', 'delete-*', false, {at}, {at});
            INSERT INTO agent_mcp_server_access VALUES ('{}', '{agent}', '{instance}', '{}', 'custom',
                '[\"get-library-docs\"]', {at}, '2030-01-01T00:00:00Z', true);",
            id(TOOLBOX, user),
            id(ENVIRONMENT, user),
            id(CREDENTIAL, user * 10),
            id(SECRET, 1),
            id(CREDENTIAL, user * 10 + 1),
            id(SECRET, 2),
            id(PERMISSION, user * 10),
            id(PERMISSION, user * 10 + 1),
            id(ACCESS, user),
            id(USER, user),
            agent = id(AGENT, user),
            item = id(ITEM, user),
            instance = id(INSTANCE, user * 10 + 1),
            at = at(user),
    )
}

/// The time of a user's rows.
fn at(user: u32) -> String {
    format!("'2025-01-01T{:02}:{:02}:00.000123Z'", user / 60, user % 60)
}

/// The address of a user's host.
fn address(user: u32) -> String {
    format!("203.0.{}.{}", 113 + user / 250, user % 250)
}

const CATALOG: &str = "
    CREATE TYPE catalog_tool_status_enum AS ENUM ('available', 'beta', 'experimental', 'deprecated', 'archived');
    CREATE TYPE tool_packaging_type_enum AS ENUM ('docker_image');
    CREATE TABLE tool_catalog (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tool_name text NOT NULL UNIQUE,
        name text NOT NULL UNIQUE, description text, developer_org_name text, icon_url text, documentation_url text,
        category text, provider text, categories text[], packaging_type tool_packaging_type_enum NOT NULL DEFAULT 'docker_image',
        package_identifier text NOT NULL, docker_image_url text NOT NULL,
        version_info jsonb NOT NULL DEFAULT '{\"default_version\":\"latest\"}', version text NOT NULL DEFAULT '1.0.0',
        default_config_template jsonb DEFAULT '{}', resource_requirements jsonb DEFAULT '{}',
        required_secrets_schema jsonb DEFAULT '[]', required_config_schema jsonb, required_capabilities_schema jsonb,
        status catalog_tool_status_enum NOT NULL DEFAULT 'available', is_public boolean DEFAULT true, created_by uuid,
        created_at timestamptz NOT NULL DEFAULT '2025-01-01T00:00:00Z', updated_at timestamptz NOT NULL DEFAULT now());";

const ENUMS: &str = "
    CREATE TYPE account_tool_environment_status_enum AS ENUM ('inactive', 'pending_creation', 'creating', 'active',
        'error_creation', 'pending_deletion', 'deleting', 'error_deletion', 'unresponsive', 'scaling', 'pending_provision',
        'provisioning', 'error_provisioning', 'pending_deprovision', 'deprovisioning', 'deprovisioned',
        'error_deprovisioning', 'awaiting_heartbeat');
    CREATE TYPE account_tool_installation_status_enum AS ENUM ('pending_install', 'installing', 'active', 'error_install',
        'pending_uninstall', 'uninstalling', 'uninstalled', 'error_uninstall', 'pending_config', 'stopped', 'starting',
        'stopping', 'error_runtime', 'disabled', 'pending_deploy', 'deploying', 'running', 'error', 'pending_delete',
        'deleting');";

const NEWEST: &str = "
    CREATE TABLE account_tool_environments (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE, do_droplet_id bigint UNIQUE, public_ip_address inet,
        status account_tool_environment_status_enum NOT NULL DEFAULT 'inactive', region_slug text NOT NULL,
        size_slug text NOT NULL, image_slug text NOT NULL, last_heartbeat_at timestamptz, name text, description text,
        dtma_bearer_token text UNIQUE, dtma_last_known_version text, dtma_health_details_json jsonb,
        provisioning_error_message text, do_droplet_name text, created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL);
    CREATE TABLE account_tool_instances (id uuid DEFAULT gen_random_uuid(),
        account_tool_environment_id uuid NOT NULL REFERENCES account_tool_environments ON DELETE CASCADE,
        tool_catalog_id uuid NOT NULL REFERENCES tool_catalog ON DELETE RESTRICT,
        status_on_toolbox account_tool_installation_status_enum NOT NULL DEFAULT 'pending_install',
        config_values jsonb DEFAULT '{}', instance_name_on_toolbox text, port_mapping_json jsonb,
        last_heartbeat_from_dtma timestamptz, version text, base_config_override_json jsonb, instance_error_message text,
        mcp_server_type text CHECK (mcp_server_type IS NULL OR mcp_server_type IN ('standard_tool', 'mcp_server')),
        mcp_endpoint_path text,
        mcp_transport_type text CHECK (mcp_transport_type IS NULL OR mcp_transport_type IN ('stdio', 'sse', 'websocket')),
        mcp_server_capabilities jsonb, mcp_discovery_metadata jsonb, created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT account_tool_environment_active_tools_pkey PRIMARY KEY (id),
        CONSTRAINT uq_account_env_tool UNIQUE (account_tool_environment_id, tool_catalog_id));";
