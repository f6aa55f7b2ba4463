-- Each filter of a history leads by an index of its own, so that a page of a rare value, or of one that
-- was never used, does not walk the whole history.
CREATE INDEX work_by_template ON work (owner_id, template_id, id) WHERE deleted_at IS NULL;
CREATE INDEX work_by_project ON work (owner_id, project_id, id) WHERE deleted_at IS NULL;
CREATE INDEX work_by_category ON work (owner_id, category, id) WHERE deleted_at IS NULL;
CREATE INDEX work_by_state ON work (owner_id, state, id) WHERE deleted_at IS NULL;
CREATE INDEX work_by_type ON work (owner_id, type, id) WHERE deleted_at IS NULL;
