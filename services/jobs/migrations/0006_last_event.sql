-- Where a job's newest event stands in its owner's feed, which is known when the event itself is gone.
-- 0: the job has had no event since this column came.
ALTER TABLE job ADD COLUMN feed_sequence bigint NOT NULL DEFAULT 0;
