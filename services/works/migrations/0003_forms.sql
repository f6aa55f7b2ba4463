-- Until when a file holds room in quarantine: its form may be used again and again until it expires,
-- whatever has become of the file. NULL: it has expired and its place there was emptied. The default is
-- for the files that exist, and for those of a process that does not know the column yet.
ALTER TABLE user_file ADD COLUMN form_until timestamptz DEFAULT app_now() + interval '20 minutes';
CREATE INDEX user_file_form ON user_file (form_until) WHERE form_until IS NOT NULL;
CREATE INDEX user_file_reserved ON user_file (owner_id) WHERE form_until IS NOT NULL;
