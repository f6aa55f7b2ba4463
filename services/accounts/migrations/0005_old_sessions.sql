-- A session leaves a token every ten minutes; those that nobody can use any more are swept by their age.
CREATE INDEX refresh_token_age ON refresh_token (created_at);
