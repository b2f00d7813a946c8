-- What instances were and are to be: the first row is how one was deployed, each further one a change of it. `what_json` is all of it
-- but the values of its secrets, `asked_json` the request that it was made of.
CREATE TABLE instance_changes (
    id             text    NOT NULL PRIMARY KEY,
    instance_id    text    NOT NULL REFERENCES account_tool_instances (id) ON DELETE CASCADE,
    number         bigint  NOT NULL,
    state          text    NOT NULL,
    message        text,
    changed_json   text    NOT NULL,
    review         boolean NOT NULL,
    back_to        bigint,
    candidate_id   text,
    tools_json     text,
    asked_json     text,
    asked_sealed   text,
    what_json      text    NOT NULL,
    secrets_sealed text,
    version        text,
    digest         text,
    created_by     text    NOT NULL,
    created_at     bigint  NOT NULL,
    since          bigint  NOT NULL,
    ended_at       bigint,
    UNIQUE (instance_id, number)
);
-- One change of an instance at a time, and one thing that it is.
CREATE UNIQUE INDEX instance_changes_open ON instance_changes (instance_id) WHERE state IN ('trying', 'ready', 'switching');
CREATE UNIQUE INDEX instance_changes_current ON instance_changes (instance_id) WHERE state = 'current';
