-- Bytes that a check has let in. An owner's same bytes are stored once; those of another owner are
-- others, so that nobody learns from storage what somebody else has.
CREATE TABLE content (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'writing' CHECK (state IN ('writing', 'stored', 'dying')),
    object_key text NOT NULL UNIQUE,
    thumbnail_key text UNIQUE,
    content_type text NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes > 0),
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    width integer NOT NULL CHECK (width >= 0),
    height integer NOT NULL CHECK (height >= 0),
    pages integer NOT NULL CHECK (pages >= 0),
    created_at timestamptz NOT NULL DEFAULT app_now(),
    -- When the sweeper asks whether anything still refers to it.
    due_at timestamptz
);
CREATE UNIQUE INDEX content_once ON content (owner_id, sha256) WHERE state = 'stored';
CREATE INDEX content_due ON content (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE user_file (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL,
    bucket text NOT NULL CHECK (bucket IN ('avatars', 'uploads', 'templates', 'assets')),
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'ready', 'refused', 'expired')),
    kind text NOT NULL CHECK (kind IN ('picture', 'document', 'vector')),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    declared_type text NOT NULL,
    declared_bytes bigint NOT NULL CHECK (declared_bytes > 0),
    content_id uuid REFERENCES content (id),
    error_code text NOT NULL DEFAULT '',
    error_message text NOT NULL DEFAULT '',
    -- The check that is running; who is not named here changes nothing.
    attempt_id uuid,
    attempt_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT app_now(),
    confirm_before timestamptz NOT NULL,
    deleted_at timestamptz,
    CHECK (deleted_at IS NOT NULL OR (state = 'ready') = (content_id IS NOT NULL)),
    CHECK ((state = 'refused') = (error_code <> ''))
);
CREATE INDEX user_file_history ON user_file (owner_id, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX user_file_pending ON user_file (confirm_before) WHERE state = 'pending';
CREATE INDEX user_file_content ON user_file (content_id) WHERE content_id IS NOT NULL;
-- What an owner's works take is part of his quota.
CREATE INDEX file_owner ON file (owner_id) INCLUDE (size_bytes) WHERE deleted_at IS NULL;

ALTER TABLE content ENABLE ROW LEVEL SECURITY;
ALTER TABLE content FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON content TO works USING (owner_id = app_user()) WITH CHECK (owner_id = app_user());
CREATE POLICY house ON content TO works_system USING (true) WITH CHECK (true);
ALTER TABLE user_file ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_file FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON user_file TO works USING (owner_id = app_user()) WITH CHECK (owner_id = app_user());
CREATE POLICY house ON user_file TO works_system USING (true) WITH CHECK (true);
