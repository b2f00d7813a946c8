-- A line for every request at an MCP address. Append-only, and without references: a line outlives what it is about. Ids are ordered by
-- when the line was written, and lines are read by them.
CREATE TABLE call_audit (
    id           text   NOT NULL,
    account_id   text   NOT NULL,
    at           bigint NOT NULL,
    took         bigint NOT NULL,
    actor        text   NOT NULL,
    credential   text,
    instance_id  text,
    instance     text   NOT NULL,
    method       text   NOT NULL,
    name         text,
    result       text   NOT NULL CHECK (result IN ('ok', 'error', 'refused', 'cancelled', 'accepted')),
    status       bigint NOT NULL,
    arguments    text,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX call_audit_by_time ON call_audit (at);
