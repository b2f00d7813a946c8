-- What people want of a machine, apart from what it is: no row is the default, all of it.
CREATE TABLE environment_policies (
    environment_id text   NOT NULL PRIMARY KEY REFERENCES account_tool_environments (id) ON DELETE CASCADE,
    cordoned       bigint NOT NULL DEFAULT 0,
    labels_json    text   NOT NULL DEFAULT '{}'
);
