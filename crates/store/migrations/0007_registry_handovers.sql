-- Which login of a registry the host of an instance was last told; no row: none.
CREATE TABLE registry_handovers (
    instance_id text NOT NULL PRIMARY KEY REFERENCES account_tool_instances (id) ON DELETE CASCADE,
    login_id    text NOT NULL
);
