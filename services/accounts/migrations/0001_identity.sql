-- Users and their sessions. Sign-in runs under the service's own role, since nobody is known yet.

CREATE TABLE users (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('guest', 'member', 'administrator')),
    login_id text,
    email text,
    password_hash text,
    name text NOT NULL CHECK (length(name) <= 80),
    locale text NOT NULL CHECK (locale IN ('ko', 'en')),
    time_zone text NOT NULL DEFAULT 'Asia/Seoul',
    created_at timestamptz NOT NULL DEFAULT app_now(),
    CHECK (kind = 'guest' OR (password_hash IS NOT NULL AND (login_id IS NOT NULL OR email IS NOT NULL)))
);
CREATE UNIQUE INDEX users_login_id ON users (lower(login_id));
CREATE UNIQUE INDEX users_email ON users (lower(email));

-- A family is one signed-in client; its tokens follow each other, and a token is spent once.
CREATE TABLE refresh_token (
    sha256 bytea PRIMARY KEY,
    family_id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL DEFAULT app_now(),
    spent_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX refresh_token_family ON refresh_token (family_id);

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON users TO accounts USING (id = app_user());
CREATE POLICY house ON users TO accounts_system USING (true) WITH CHECK (true);

ALTER TABLE refresh_token ENABLE ROW LEVEL SECURITY;
ALTER TABLE refresh_token FORCE ROW LEVEL SECURITY;
CREATE POLICY house ON refresh_token TO accounts_system USING (true) WITH CHECK (true);
