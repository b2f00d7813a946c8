-- What a member brings for themselves to an instance whose callers each bring their own, sealed for `id`. It ends with the instance and
-- with the membership.
CREATE TABLE own_values (
    id            text   NOT NULL PRIMARY KEY,
    instance_id   text   NOT NULL REFERENCES account_tool_instances (id) ON DELETE CASCADE,
    account_id    text   NOT NULL,
    user_id       text   NOT NULL,
    names_json    text   NOT NULL,
    values_sealed text   NOT NULL,
    updated_at    bigint NOT NULL,
    CONSTRAINT own_values_of UNIQUE (instance_id, user_id),
    CONSTRAINT own_values_member FOREIGN KEY (account_id, user_id)
        REFERENCES account_members (account_id, user_id) ON DELETE CASCADE
);
