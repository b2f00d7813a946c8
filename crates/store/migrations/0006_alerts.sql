-- What is or was broken, told or about to be: one open row for each subject and kind. A subject may be gone, so it is named here.
CREATE TABLE alerts (
    id               text   NOT NULL PRIMARY KEY,
    account_id       text   NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind             text   NOT NULL,
    subject_id       text   NOT NULL,
    subject_name     text   NOT NULL,
    environment_name text,
    message          text   NOT NULL,
    broken_since     bigint NOT NULL,
    well_since       bigint,
    told_at          bigint,
    healed_at        bigint
);
CREATE UNIQUE INDEX alerts_open ON alerts (kind, subject_id) WHERE healed_at IS NULL;
CREATE INDEX alerts_account ON alerts (account_id, told_at);
-- What is to be said of an alert to one receiver, named by a digest because its address may be a secret.
CREATE TABLE alert_deliveries (
    alert_id     text   NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    event        text   NOT NULL CHECK (event IN ('broken', 'healed')),
    receiver     text   NOT NULL,
    queued_at    bigint NOT NULL,
    tries        bigint NOT NULL DEFAULT 0,
    next_try_at  bigint NOT NULL,
    done_at      bigint,
    trouble      text,
    PRIMARY KEY (alert_id, event, receiver)
);
