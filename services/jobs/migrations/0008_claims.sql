-- Claims follow one another, and that is all that their lock on categories is for. FOR UPDATE shut out
-- submissions, too, whose items refer to a category: each waited for every claim, and while one of them
-- hung in the middle no worker got anything.
CREATE OR REPLACE FUNCTION claim_items(pools text[], worker text, slots integer, lease interval)
RETURNS SETOF item LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    wanted record;
    running integer;
    remaining integer := slots;
    claimed item;
BEGIN
    PERFORM FROM category ORDER BY name FOR NO KEY UPDATE;
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
