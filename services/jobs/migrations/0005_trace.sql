-- The W3C trace context of the submission, so that every attempt belongs to the request's trace.
ALTER TABLE job ADD COLUMN traceparent text NOT NULL DEFAULT '';
