-- Each filter of a list of jobs leads by an index of its own, so that a page of a rare value, or of one
-- that was never used, does not walk the whole list.
CREATE INDEX job_by_template ON job (user_id, template_id, id);
CREATE INDEX job_by_project ON job (user_id, project_id, id);
CREATE INDEX job_by_category ON job (user_id, category, id);
CREATE INDEX job_by_state ON job (user_id, state, id);
