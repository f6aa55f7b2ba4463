-- What every schema of the house has: the clock, the outbox, the inbox and idempotency keys.
-- {service} is the serving role, which owns nothing; {service}_system is the role that its own
-- consumers and sweepers take on.

GRANT USAGE ON SCHEMA {service} TO {service}, {service}_system;
ALTER DEFAULT PRIVILEGES IN SCHEMA {service}
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {service}, {service}_system;
ALTER DEFAULT PRIVILEGES IN SCHEMA {service}
    GRANT USAGE ON SEQUENCES TO {service}, {service}_system;

-- The one clock. Only tests, which own the database, may move it.
CREATE TABLE clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    shift interval NOT NULL DEFAULT '0'
);
INSERT INTO clock DEFAULT VALUES;
REVOKE INSERT, UPDATE, DELETE ON clock FROM {service}, {service}_system;

CREATE FUNCTION app_now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT clock_timestamp() + (SELECT shift FROM {service}.clock) $$;

-- The user in whose name the transaction runs; no rows are seen while it is not set.
CREATE FUNCTION app_user() RETURNS uuid LANGUAGE sql STABLE
    AS $$ SELECT nullif(current_setting('app.user_id', true), '')::uuid $$;

-- Events leave through here only: written with the change, sent after it, kept for 7 days so that
-- they can be sent again to a broker that lost them.
CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    subject text NOT NULL,
    payload bytea NOT NULL,
    headers jsonb NOT NULL DEFAULT '{{}}',
    created_at timestamptz NOT NULL DEFAULT app_now(),
    sent_at timestamptz
);
CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;

-- The sequence that the broker gave last; a smaller one means that it lost its store.
CREATE TABLE relay (
    stream text PRIMARY KEY,
    last_sequence bigint NOT NULL
);

-- An event takes effect in the transaction that writes its row here, and so only once.
CREATE TABLE inbox (
    event_id uuid PRIMARY KEY,
    subject text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT app_now()
);

-- Events that no handler could take, for a person to look at.
CREATE TABLE dead_event (
    event_id uuid PRIMARY KEY,
    subject text NOT NULL,
    payload bytea NOT NULL,
    error text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT app_now()
);

CREATE TABLE idempotency (
    principal uuid NOT NULL,
    method text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint bytea NOT NULL,
    response bytea,
    created_at timestamptz NOT NULL DEFAULT app_now(),
    PRIMARY KEY (principal, method, key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);
