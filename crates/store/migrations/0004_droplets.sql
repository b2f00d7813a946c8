-- What the reconciler of droplets remembers of an environment whose machine Berth makes. The state itself, the droplet's number
-- and its address are in the environment's row.
CREATE TABLE droplets (
    environment_id   text    NOT NULL PRIMARY KEY REFERENCES account_tool_environments (id) ON DELETE CASCADE,
    wish             text    NOT NULL CHECK (wish IN ('present', 'absent')),
    status_since     bigint  NOT NULL,
    fault            text,
    sent_at          bigint,
    firewall         text    NOT NULL CHECK (firewall IN ('none', 'perhaps', 'made')),
    order_json       text    NOT NULL,
    user_data_sealed text,
    price_cents      bigint  NOT NULL,
    failures         bigint  NOT NULL DEFAULT 0,
    next_try_at      bigint  NOT NULL DEFAULT 0,
    trouble          text,
    provider_status  text
);
