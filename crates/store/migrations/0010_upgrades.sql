-- One change of hosts to another binary of Berth's, in waves; one is under way in an account at a time.
CREATE TABLE upgrades (
    id         text   NOT NULL PRIMARY KEY,
    account_id text   NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    program    text   NOT NULL,
    version    text   NOT NULL,
    state      text   NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    message    text,
    created_at bigint NOT NULL,
    ended_at   bigint
);
CREATE UNIQUE INDEX upgrades_running ON upgrades (account_id) WHERE state = 'running';
CREATE TABLE upgrade_hosts (
    upgrade_id     text   NOT NULL REFERENCES upgrades (id) ON DELETE CASCADE,
    environment_id text   NOT NULL REFERENCES account_tool_environments (id) ON DELETE CASCADE,
    place          bigint NOT NULL,
    wave           bigint NOT NULL,
    state          text   NOT NULL CHECK (state IN ('waiting', 'started', 'done', 'failed')),
    since          bigint NOT NULL,
    running_json   text   NOT NULL DEFAULT '[]',
    message        text,
    PRIMARY KEY (upgrade_id, environment_id)
);
