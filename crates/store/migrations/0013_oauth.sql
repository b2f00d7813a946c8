-- Keys that access tokens are signed with: the newest signs, the others verify what they signed until that is over.
CREATE TABLE oauth_keys (
    id             text   NOT NULL PRIMARY KEY,
    private_sealed text   NOT NULL,
    created_at     bigint NOT NULL
);
-- MCP clients: `registered` by a person of an account, `dynamic` (RFC 7591), or a `document` at their own URL, which is the id.
CREATE TABLE oauth_clients (
    id            text   NOT NULL PRIMARY KEY,
    kind          text   NOT NULL CHECK (kind IN ('registered', 'dynamic', 'document')),
    account_id    text,
    user_id       text,
    metadata_json text   NOT NULL,
    secret_hash   text,
    created_at    bigint NOT NULL,
    fresh_until   bigint,
    last_used_at  bigint,
    CONSTRAINT oauth_clients_member FOREIGN KEY (account_id, user_id)
        REFERENCES account_members (account_id, user_id) ON DELETE CASCADE
);
-- What a person allowed a client. It belongs to a membership, so that it ends with it. `instance` is the name in the address; NULL:
-- the JSON API.
CREATE TABLE oauth_grants (
    id           text   NOT NULL PRIMARY KEY,
    account_id   text   NOT NULL,
    user_id      text   NOT NULL,
    client_id    text   NOT NULL,
    client_name  text   NOT NULL,
    sent_to      text   NOT NULL,
    instance     text,
    scopes_json  text   NOT NULL,
    created_at   bigint NOT NULL,
    last_used_at bigint,
    revoked_at   bigint,
    revoked_why  text,
    CONSTRAINT oauth_grants_member FOREIGN KEY (account_id, user_id)
        REFERENCES account_members (account_id, user_id) ON DELETE CASCADE
);
CREATE INDEX oauth_grants_by_member ON oauth_grants (account_id, user_id);
-- Authorization codes; one that was used is kept until it is over, so that a second use is noticed.
CREATE TABLE oauth_codes (
    code_hash    text   NOT NULL PRIMARY KEY,
    grant_id     text   NOT NULL REFERENCES oauth_grants (id) ON DELETE CASCADE,
    redirect_uri text   NOT NULL,
    challenge    text   NOT NULL,
    resource     text   NOT NULL,
    expires_at   bigint NOT NULL,
    used_at      bigint
);
-- Refresh tokens; used ones are kept for the same reason.
CREATE TABLE oauth_refresh_tokens (
    token_hash text   NOT NULL PRIMARY KEY,
    grant_id   text   NOT NULL REFERENCES oauth_grants (id) ON DELETE CASCADE,
    resource   text   NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    used_at    bigint
);
CREATE INDEX oauth_refresh_tokens_by_grant ON oauth_refresh_tokens (grant_id);
-- Devices that wait for a person to type their code (RFC 8628).
CREATE TABLE oauth_devices (
    device_hash text   NOT NULL PRIMARY KEY,
    user_code   text   NOT NULL,
    client_id   text   NOT NULL,
    resource    text,
    scope       text,
    created_at  bigint NOT NULL,
    expires_at  bigint NOT NULL,
    polled_at   bigint,
    refused     bigint NOT NULL DEFAULT 0,
    grant_id    text   REFERENCES oauth_grants (id) ON DELETE CASCADE,
    CONSTRAINT oauth_devices_user_code UNIQUE (user_code)
);
-- Assertions that were used, until they are over (RFC 7523 §3).
CREATE TABLE oauth_replays (
    id         text   NOT NULL PRIMARY KEY,
    expires_at bigint NOT NULL
);
