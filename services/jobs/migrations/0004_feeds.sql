-- The events of all jobs of a user in one order, so that one stream shows and resumes them.
CREATE TABLE feed (
    user_id uuid PRIMARY KEY,
    sequence bigint NOT NULL CHECK (sequence > 0)
) WITH (fillfactor = 50);
ALTER TABLE feed ENABLE ROW LEVEL SECURITY;
ALTER TABLE feed FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON feed TO jobs USING (user_id = app_user()) WITH CHECK (user_id = app_user());
CREATE POLICY house ON feed TO jobs_system USING (true) WITH CHECK (true);

-- Events from before are followed by their job only.
ALTER TABLE job_event ADD COLUMN user_id uuid, ADD COLUMN feed_sequence bigint,
    ADD CHECK ((user_id IS NULL) = (feed_sequence IS NULL));
CREATE UNIQUE INDEX job_event_feed ON job_event (user_id, feed_sequence);
CREATE INDEX job_batch ON job (batch_id);
