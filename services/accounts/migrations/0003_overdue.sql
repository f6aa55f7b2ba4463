-- When an open hold was last asked after.
ALTER TABLE hold ADD COLUMN asked_at timestamptz;
CREATE INDEX hold_overdue ON hold (coalesce(asked_at, created_at)) WHERE outcome IS NULL;
