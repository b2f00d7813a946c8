-- Who may use what of an account's instances. `subject` is a role, or the id of a user, a token or an OAuth client; NULL: everyone.
-- They are no references: a rule for what is gone applies to nobody.
CREATE TABLE access_rules (
    id           text   NOT NULL PRIMARY KEY,
    account_id   text   NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    subject_kind text   NOT NULL CHECK (subject_kind IN ('everyone', 'role', 'user', 'token', 'client')),
    subject      text,
    effect       text   NOT NULL CHECK (effect IN ('allow', 'deny')),
    -- NULL: every instance.
    instance     text,
    what         text   NOT NULL CHECK (what IN ('tool', 'prompt', 'resource', 'everything')),
    pattern      text   NOT NULL,
    hint         text   CHECK (hint IN ('read-only', 'destructive')),
    created_by   text   NOT NULL,
    created_at   bigint NOT NULL
);

CREATE INDEX access_rules_by_account ON access_rules (account_id);
