-- A production path. Revision 1 is the first; whoever enforces limits ignores an older revision.
CREATE TABLE category (
    id text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(id) <= 64),
    title_ko text NOT NULL,
    title_en text NOT NULL,
    is_enabled boolean NOT NULL,
    workers_max integer NOT NULL CHECK (workers_max BETWEEN 1 AND 1000),
    prompt_style text NOT NULL CHECK (length(prompt_style) <= 500),
    position integer NOT NULL,
    default_template text NOT NULL,
    revision bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT app_now()
);

-- What stands on the shelf. Without an owner it is the system's and everybody sees it.
CREATE TABLE template (
    id text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(id) <= 64),
    owner_id uuid,
    category text NOT NULL REFERENCES category (id),
    position integer NOT NULL,
    is_active boolean NOT NULL,
    version integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT app_now(),
    updated_at timestamptz NOT NULL DEFAULT app_now()
);
CREATE INDEX template_shelf ON template (position, id) WHERE is_active;
CREATE INDEX template_owner ON template (owner_id) WHERE owner_id IS NOT NULL;

-- A version never changes: jobs keep its number, and its hash tells a changed file from a new one.
CREATE TABLE template_version (
    template_id text NOT NULL REFERENCES template (id) DEFERRABLE INITIALLY DEFERRED,
    version integer NOT NULL CHECK (version >= 1),
    definition jsonb NOT NULL,
    request_schema jsonb NOT NULL,
    content_hash text NOT NULL CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    created_at timestamptz NOT NULL DEFAULT app_now(),
    PRIMARY KEY (template_id, version)
);
REVOKE UPDATE, DELETE, TRUNCATE ON template_version FROM templates, templates_system;

ALTER TABLE template ADD CONSTRAINT template_newest FOREIGN KEY (id, version)
    REFERENCES template_version (template_id, version) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE category ADD CONSTRAINT category_default FOREIGN KEY (default_template)
    REFERENCES template (id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE template ENABLE ROW LEVEL SECURITY;
ALTER TABLE template FORCE ROW LEVEL SECURITY;
CREATE POLICY visible ON template FOR SELECT TO templates
    USING (owner_id IS NULL OR owner_id = app_user());
CREATE POLICY own_insert ON template FOR INSERT TO templates WITH CHECK (owner_id = app_user());
CREATE POLICY own_update ON template FOR UPDATE TO templates
    USING (owner_id = app_user()) WITH CHECK (owner_id = app_user());
CREATE POLICY own_delete ON template FOR DELETE TO templates USING (owner_id = app_user());
CREATE POLICY house ON template TO templates_system USING (true) WITH CHECK (true);

-- A version is seen and added with its template, whose own policies decide.
ALTER TABLE template_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE template_version FORCE ROW LEVEL SECURITY;
CREATE POLICY visible ON template_version FOR SELECT TO templates
    USING (EXISTS (SELECT FROM template WHERE id = template_id));
CREATE POLICY own_insert ON template_version FOR INSERT TO templates
    WITH CHECK (EXISTS (SELECT FROM template WHERE id = template_id AND owner_id = app_user()));
CREATE POLICY house ON template_version TO templates_system USING (true) WITH CHECK (true);

-- Paths belong to the house: its own start writes them, users only read.
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON category FROM templates;
