-- An account's secrets. The value of each version is sealed for the version's id; it is NULL once nobody can use it any more.
CREATE TABLE secrets (
    id         text   NOT NULL PRIMARY KEY,
    account_id text   NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name       text   NOT NULL,
    version    bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    CONSTRAINT secrets_name UNIQUE (account_id, name)
);
CREATE TABLE secret_versions (
    id           text   NOT NULL PRIMARY KEY,
    secret_id    text   NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    version      bigint NOT NULL,
    value_sealed text,
    created_by   text   NOT NULL,
    created_at   bigint NOT NULL,
    CONSTRAINT secret_versions_version UNIQUE (secret_id, version)
);
-- Which instances use which, as which variable, and the version that its host was told last.
CREATE TABLE secret_uses (
    instance_id text   NOT NULL REFERENCES account_tool_instances (id) ON DELETE CASCADE,
    variable    text   NOT NULL,
    secret_id   text   NOT NULL,
    version     bigint,
    PRIMARY KEY (instance_id, variable),
    -- Looked at when a transaction is committed, so that an account can go with all it has.
    CONSTRAINT secret_uses_secret FOREIGN KEY (secret_id) REFERENCES secrets (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX secret_uses_by_secret ON secret_uses (secret_id);
