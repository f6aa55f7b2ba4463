-- What the house keeps for itself is out of reach for a transaction in the name of a user. Such a
-- transaction may publish, since its own change and the event belong together, but not read.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['outbox', 'inbox', 'relay', 'dead_event', 'idempotency'] LOOP
        EXECUTE format('ALTER TABLE {service}.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE {service}.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY house ON {service}.%I TO {service}_system '
                       'USING (true) WITH CHECK (true)', name);
    END LOOP;
END $$;
CREATE POLICY publish ON outbox FOR INSERT TO {service} WITH CHECK (true);
