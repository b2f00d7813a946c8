-- Where an entry of the catalog comes from (NULL: it is part of Berth), and its versions as its source published them. The row in
-- `tool_catalog` is the version that people get.
ALTER TABLE tool_catalog ADD COLUMN source text;
ALTER TABLE tool_catalog ADD COLUMN repository_url text;
ALTER TABLE tool_catalog ADD COLUMN is_verified boolean NOT NULL DEFAULT false;
ALTER TABLE tool_catalog ADD COLUMN published_at bigint;

CREATE INDEX tool_catalog_by_source ON tool_catalog (source);
CREATE INDEX tool_catalog_by_update ON tool_catalog (updated_at);

-- What a version is never changes; how it stands does.
CREATE TABLE catalog_versions (
    tool_catalog_id text    NOT NULL REFERENCES tool_catalog (id) ON DELETE CASCADE,
    version         text    NOT NULL,
    server_json     text    NOT NULL,
    status          text    NOT NULL CHECK (status IN ('active', 'deprecated', 'deleted')),
    status_message  text,
    -- What its source says; NULL: nothing.
    is_latest_there boolean,
    -- Whether it is the version that people get.
    is_latest       boolean NOT NULL,
    published_at    bigint,
    updated_at      bigint  NOT NULL,
    PRIMARY KEY (tool_catalog_id, version)
);

CREATE TABLE catalog_sources (
    name          text   NOT NULL,
    url           text   NOT NULL,
    created_by    text   NOT NULL,
    created_at    bigint NOT NULL,
    -- When it is read next; who reads it says until when nobody else does.
    due_at        bigint NOT NULL,
    claimed_until bigint,
    -- The newest change that a whole reading has seen, by the source's clock; NULL: none, or it says of none.
    updated_since bigint,
    -- Of the reading that is under way, or the last one.
    entries       bigint NOT NULL DEFAULT 0,
    skipped       bigint NOT NULL DEFAULT 0,
    started_at    bigint,
    finished_at   bigint,
    error         text,
    CONSTRAINT catalog_sources_name PRIMARY KEY (name)
);
