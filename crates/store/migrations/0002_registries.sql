-- What opens a registry of container images, for one account. `id` is made anew with every password, which is sealed for it.
CREATE TABLE registry_logins (
    id              text   NOT NULL PRIMARY KEY,
    account_id      text   NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    host            text   NOT NULL,
    username        text   NOT NULL,
    password_sealed text   NOT NULL,
    updated_at      bigint NOT NULL,
    CONSTRAINT registry_logins_host UNIQUE (account_id, host)
);
