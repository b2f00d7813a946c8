-- A one-time token that makes a host an environment's: the newest of each environment. `nonce_hash` is of what the host that
-- used it made up, so that the same host may ask again when the answer was lost.
CREATE TABLE enrolments (
    environment_id text   NOT NULL PRIMARY KEY REFERENCES account_tool_environments (id) ON DELETE CASCADE,
    token_hash     text   NOT NULL,
    created_at     bigint NOT NULL,
    expires_at     bigint NOT NULL,
    used_at        bigint,
    nonce_hash     text,
    CONSTRAINT enrolments_token_hash UNIQUE (token_hash)
);
