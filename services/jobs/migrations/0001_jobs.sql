-- PostgreSQL is the truth about jobs; NATS only says where to look.

CREATE TABLE category (
    name text PRIMARY KEY,
    enabled boolean NOT NULL,
    workers_max integer NOT NULL CHECK (workers_max >= 0),
    revision bigint NOT NULL,
    -- Start-time fair queueing: the tag of the newest claim.
    clock double precision NOT NULL DEFAULT 0,
    claimed_at timestamptz
);

-- The newest tag of a user in a category, so that one who submits much waits behind himself.
CREATE TABLE fair_share (
    category text NOT NULL REFERENCES category (name),
    user_id uuid NOT NULL,
    tag double precision NOT NULL,
    PRIMARY KEY (category, user_id)
);

CREATE TABLE job (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    payer_id uuid NOT NULL,
    project_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('created', 'uploaded', 'queued', 'running', 'succeeded',
                                         'failed', 'canceled', 'expired')),
    template_id text NOT NULL,
    template_version integer NOT NULL,
    category text NOT NULL,
    inputs jsonb NOT NULL,
    graph jsonb NOT NULL,
    seed bigint NOT NULL,
    idempotency_key text NOT NULL,
    cancel_requested boolean NOT NULL DEFAULT false,
    sequence bigint NOT NULL DEFAULT 0,
    -- Until then somebody is driving a created job on; after it a sweeper does.
    driven_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT app_now(),
    finished_at timestamptz,
    CHECK ((state IN ('succeeded', 'failed', 'canceled', 'expired')) = (finished_at IS NOT NULL))
);
CREATE INDEX job_history ON job (user_id, id DESC);
CREATE INDEX job_key ON job (user_id, idempotency_key);
CREATE INDEX job_undriven ON job (driven_until) WHERE state = 'created';

CREATE SEQUENCE fence;

CREATE TABLE item (
    id uuid PRIMARY KEY,
    job_id uuid NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    work_id uuid NOT NULL UNIQUE,
    position integer NOT NULL,
    work_type text NOT NULL,
    variation integer NOT NULL CHECK (variation BETWEEN 1 AND 8),
    state text NOT NULL CHECK (state IN ('created', 'uploaded', 'queued', 'running', 'succeeded',
                                         'failed', 'canceled', 'expired')),
    credits bigint NOT NULL CHECK (credits >= 0),
    subscription bigint NOT NULL DEFAULT 0,
    purchased bigint NOT NULL DEFAULT 0,
    estimated_seconds integer NOT NULL,
    pool text NOT NULL CHECK (pool IN ('cpu', 'text', 'gpu')),
    category text NOT NULL REFERENCES category (name),
    priority integer NOT NULL DEFAULT 0,
    tag double precision NOT NULL DEFAULT 0,
    run_at timestamptz NOT NULL DEFAULT app_now(),
    attempts integer NOT NULL DEFAULT 0,
    infra_failures integer NOT NULL DEFAULT 0,
    token bigint,
    lease_until timestamptz,
    worker_id text NOT NULL DEFAULT '',
    cancel_requested boolean NOT NULL DEFAULT false,
    progress integer NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    step text NOT NULL DEFAULT '',
    error_code text NOT NULL DEFAULT '',
    error_message text NOT NULL DEFAULT '',
    started_at timestamptz,
    finished_at timestamptz,
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed', 'canceled', 'expired')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX item_of_job ON item (job_id, position);
CREATE INDEX item_runnable ON item (category, priority DESC, tag, id) WHERE state = 'queued';
CREATE INDEX item_running ON item (category) WHERE state = 'running';
CREATE INDEX item_lease ON item (lease_until) WHERE state = 'running';

-- Outputs of finished steps, shared by the items of a job and kept for its later attempts.
CREATE TABLE step (
    job_id uuid NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    content_hash text NOT NULL,
    name text NOT NULL,
    item_id uuid NOT NULL REFERENCES item (id) ON DELETE CASCADE,
    token bigint NOT NULL,
    output jsonb,
    PRIMARY KEY (job_id, content_hash)
);

CREATE TABLE job_event (
    job_id uuid NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    sequence bigint NOT NULL,
    event bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT app_now(),
    PRIMARY KEY (job_id, sequence)
);
CREATE INDEX job_event_age ON job_event (created_at);

-- Leases runnable items to a worker. Every statement of a VOLATILE function sees what was committed
-- before it, so that counting under the category's lock is exact; in one statement it would not be.
CREATE FUNCTION claim_items(pools text[], worker text, slots integer, lease interval)
RETURNS SETOF item LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    wanted record;
    running integer;
    remaining integer := slots;
    claimed item;
BEGIN
    PERFORM FROM category ORDER BY name FOR UPDATE;
    FOR wanted IN
        SELECT name, workers_max FROM category ORDER BY claimed_at NULLS FIRST, name
    LOOP
        SELECT count(*) INTO running FROM item
        WHERE category = wanted.name AND state = 'running';
        FOR claimed IN
            UPDATE item SET state = 'running', attempts = attempts + 1, token = nextval('fence'),
                lease_until = app_now() + lease, worker_id = worker, progress = 0, step = '',
                started_at = coalesce(started_at, app_now())
            WHERE id = ANY (ARRAY(
                SELECT id FROM item AS runnable
                WHERE runnable.category = wanted.name AND runnable.state = 'queued'
                  AND runnable.pool = ANY (pools) AND runnable.run_at <= app_now()
                ORDER BY runnable.priority DESC, runnable.tag, runnable.id
                LIMIT greatest(0, least(remaining, wanted.workers_max - running))
                FOR UPDATE SKIP LOCKED))
            RETURNING *
        LOOP
            remaining := remaining - 1;
            UPDATE category SET claimed_at = app_now(), clock = greatest(clock, claimed.tag)
            WHERE name = wanted.name;
            RETURN NEXT claimed;
        END LOOP;
        EXIT WHEN remaining = 0;
    END LOOP;
END $$;

ALTER TABLE job ENABLE ROW LEVEL SECURITY;
ALTER TABLE job FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON job TO jobs USING (user_id = app_user()) WITH CHECK (user_id = app_user());
CREATE POLICY house ON job TO jobs_system USING (true) WITH CHECK (true);
ALTER TABLE item ENABLE ROW LEVEL SECURITY;
ALTER TABLE item FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON item TO jobs USING (user_id = app_user()) WITH CHECK (user_id = app_user());
CREATE POLICY house ON item TO jobs_system USING (true) WITH CHECK (true);
ALTER TABLE job_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE job_event FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON job_event TO jobs
    USING (EXISTS (SELECT FROM job WHERE job.id = job_event.job_id))
    WITH CHECK (EXISTS (SELECT FROM job WHERE job.id = job_event.job_id));
CREATE POLICY house ON job_event TO jobs_system USING (true) WITH CHECK (true);
ALTER TABLE step ENABLE ROW LEVEL SECURITY;
ALTER TABLE step FORCE ROW LEVEL SECURITY;
CREATE POLICY house ON step TO jobs_system USING (true) WITH CHECK (true);
