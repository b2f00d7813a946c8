-- Instances that were moved: the environment that each has left, until its host has confirmed that it let go. The instance may be
-- gone by then, so nothing refers to it.
CREATE TABLE instance_departures (
    instance_id    text   NOT NULL,
    environment_id text   NOT NULL REFERENCES account_tool_environments (id) ON DELETE CASCADE,
    generation     bigint NOT NULL,
    why            text   NOT NULL,
    since          bigint NOT NULL,
    free_at        bigint,
    PRIMARY KEY (instance_id, environment_id)
);
