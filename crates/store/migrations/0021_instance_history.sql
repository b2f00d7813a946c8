-- What instances used and how they were called: a row for each minute (step 60) of the last day and each hour (step 3600) of the last month.
-- Each control plane writes rows of its own (`writer`, new with each start), so a row is written whole and never added to; whoever reads
-- adds them up.
CREATE TABLE instance_metrics (
    instance_id    text   NOT NULL REFERENCES account_tool_instances (id) ON DELETE CASCADE,
    step           bigint NOT NULL,
    at             bigint NOT NULL,
    writer         text   NOT NULL,
    memory_samples bigint NOT NULL,
    memory_sum     bigint NOT NULL,
    memory_max     bigint NOT NULL,
    cpu_samples    bigint NOT NULL,
    cpu_sum        bigint NOT NULL,
    cpu_max        bigint NOT NULL,
    calls          bigint NOT NULL,
    errors         bigint NOT NULL,
    refused        bigint NOT NULL,
    took_json      text   NOT NULL,
    PRIMARY KEY (instance_id, step, at, writer)
);
CREATE INDEX instance_metrics_by_time ON instance_metrics (step, at);
-- What became of instances: their states as they were taken in. What people asked for is in the audit.
CREATE TABLE instance_events (
    id          text   NOT NULL PRIMARY KEY,
    instance_id text   NOT NULL REFERENCES account_tool_instances (id) ON DELETE CASCADE,
    at          bigint NOT NULL,
    kind        text   NOT NULL,
    status      text,
    message     text
);
CREATE INDEX instance_events_by_instance ON instance_events (instance_id, id);
