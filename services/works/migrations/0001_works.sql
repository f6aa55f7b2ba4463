CREATE TABLE project (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 2000),
    vertical text NOT NULL DEFAULT '' CHECK (length(vertical) <= 50),
    language text NOT NULL CHECK (language IN ('ko', 'en')),
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'archived')),
    is_default boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT app_now()
);
CREATE INDEX project_history ON project (owner_id, id DESC);
CREATE UNIQUE INDEX project_default ON project (owner_id) WHERE is_default;

CREATE TABLE file (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL,
    object_key text NOT NULL UNIQUE,
    content_type text NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes > 0),
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    width integer NOT NULL,
    height integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT app_now(),
    deleted_at timestamptz,
    swept_at timestamptz
);
CREATE INDEX file_unswept ON file (deleted_at) WHERE deleted_at IS NOT NULL AND swept_at IS NULL;

CREATE TABLE work (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL,
    project_id uuid NOT NULL REFERENCES project (id),
    batch_id uuid NOT NULL,
    job_id uuid NOT NULL,
    type text NOT NULL CHECK (type IN ('marketing_copy', 'promotional_image', 'palette_image',
                                       'branding_report', 'short_video', 'video_clip')),
    state text NOT NULL CHECK (state IN ('draft', 'pending', 'processing', 'completed', 'failed',
                                         'canceled')),
    title text NOT NULL CHECK (length(title) <= 200),
    tags text[] NOT NULL DEFAULT '{}' CHECK (cardinality(tags) <= 20),
    template_id text NOT NULL,
    category text NOT NULL,
    variation integer NOT NULL CHECK (variation BETWEEN 1 AND 8),
    inputs jsonb NOT NULL,
    recipe jsonb NOT NULL DEFAULT '{}',
    file_id uuid REFERENCES file (id),
    thumbnail_id uuid REFERENCES file (id),
    error_code text NOT NULL DEFAULT '',
    is_public boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT app_now(),
    finished_at timestamptz,
    deleted_at timestamptz,
    CHECK ((state = 'completed') = (file_id IS NOT NULL)),
    CHECK ((state IN ('completed', 'failed', 'canceled')) = (finished_at IS NOT NULL)),
    CHECK (state = 'completed' OR NOT is_public)
);
CREATE INDEX work_history ON work (owner_id, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX work_batch ON work (batch_id, id);

ALTER TABLE project ENABLE ROW LEVEL SECURITY;
ALTER TABLE project FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON project TO works USING (owner_id = app_user()) WITH CHECK (owner_id = app_user());
CREATE POLICY house ON project TO works_system USING (true) WITH CHECK (true);
ALTER TABLE file ENABLE ROW LEVEL SECURITY;
ALTER TABLE file FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON file TO works USING (owner_id = app_user()) WITH CHECK (owner_id = app_user());
CREATE POLICY house ON file TO works_system USING (true) WITH CHECK (true);
ALTER TABLE work ENABLE ROW LEVEL SECURITY;
ALTER TABLE work FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON work TO works USING (owner_id = app_user()) WITH CHECK (owner_id = app_user());
CREATE POLICY house ON work TO works_system USING (true) WITH CHECK (true);
