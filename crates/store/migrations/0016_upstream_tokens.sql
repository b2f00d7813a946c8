-- What opens servers that run elsewhere, sealed; and what they wanted last. A row stays when what it held is given up, so that versions
-- only grow. `user_id` is empty for what all callers of the instance share.
CREATE TABLE upstream_tokens (
    instance_id    text   NOT NULL REFERENCES account_tool_instances (id) ON DELETE CASCADE,
    user_id        text   NOT NULL,
    version        bigint NOT NULL,
    sealed         text,
    challenge_json text,
    message        text,
    authorized_at  bigint,
    expires_at     bigint,
    claimed_until  bigint NOT NULL,
    updated_at     bigint NOT NULL,
    PRIMARY KEY (instance_id, user_id)
);

-- People who were sent to an authorization server and are not back yet. Each row is taken once.
CREATE TABLE upstream_authorizations (
    state_hash  text   NOT NULL PRIMARY KEY,
    instance_id text   NOT NULL REFERENCES account_tool_instances (id) ON DELETE CASCADE,
    account_id  text   NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    user_id     text   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    sealed      text   NOT NULL,
    created_at  bigint NOT NULL,
    expires_at  bigint NOT NULL
);
