-- People who sign in with a browser. `password_hash` is a PHC string (argon2id); without one a password opens nothing. E-mail
-- addresses are kept in lower case.
ALTER TABLE users ADD COLUMN email text;
ALTER TABLE users ADD COLUMN password_hash text;
-- An operator looks after the installation: makes accounts.
ALTER TABLE users ADD COLUMN is_operator boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX users_email ON users (email);

UPDATE users SET is_operator = true WHERE id IN (SELECT id FROM users ORDER BY created_at, id LIMIT 1);

-- Of everything that opens something only the SHA-256 is here.
CREATE TABLE user_sessions (
    id           text   NOT NULL PRIMARY KEY,
    user_id      text   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash   text   NOT NULL,
    method       text   NOT NULL CHECK (method IN ('password', 'link', 'invitation', 'oidc')),
    user_agent   text,
    address      text,
    created_at   bigint NOT NULL,
    last_seen_at bigint NOT NULL,
    expires_at   bigint NOT NULL,
    ended_at     bigint,
    CONSTRAINT user_sessions_token_hash UNIQUE (token_hash)
);

CREATE INDEX user_sessions_by_user ON user_sessions (user_id);

-- Somebody whom an identity provider vouches for. An e-mail address is no identity: it can be another's tomorrow.
CREATE TABLE user_identities (
    issuer       text   NOT NULL,
    subject      text   NOT NULL,
    user_id      text   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at   bigint NOT NULL,
    last_used_at bigint NOT NULL,
    PRIMARY KEY (issuer, subject)
);

CREATE INDEX user_identities_by_user ON user_identities (user_id);

-- One-time links: of an operator who is locked out, and of whom an admin helps.
CREATE TABLE sign_in_links (
    id         text   NOT NULL PRIMARY KEY,
    user_id    text   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash text   NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    used_at    bigint,
    CONSTRAINT sign_in_links_token_hash UNIQUE (token_hash)
);

CREATE TABLE invitations (
    id          text   NOT NULL PRIMARY KEY,
    account_id  text   NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    role        text   NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
    token_hash  text   NOT NULL,
    name        text,
    email       text,
    created_by  text   REFERENCES users (id) ON DELETE SET NULL,
    created_at  bigint NOT NULL,
    expires_at  bigint NOT NULL,
    accepted_at bigint,
    accepted_by text   REFERENCES users (id) ON DELETE SET NULL,
    revoked_at  bigint,
    CONSTRAINT invitations_token_hash UNIQUE (token_hash)
);

CREATE INDEX invitations_by_account ON invitations (account_id);
