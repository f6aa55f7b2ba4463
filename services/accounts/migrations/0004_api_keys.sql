-- Keys by which a member's own servers call. Only a hash of the secret is kept: it has 256 random
-- bits, so that a plain one is enough. A key goes with its member.
CREATE TABLE api_key (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    sha256 bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    prefix text NOT NULL CHECK (length(prefix) = 12),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    scopes text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 50),
    created_at timestamptz NOT NULL DEFAULT app_now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_key_list ON api_key (user_id, id DESC);

ALTER TABLE api_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_key FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON api_key TO accounts
    USING (user_id = app_user()) WITH CHECK (user_id = app_user());
CREATE POLICY house ON api_key TO accounts_system USING (true) WITH CHECK (true);

-- Since when an account may do nothing.
ALTER TABLE users ADD COLUMN suspended_at timestamptz;
