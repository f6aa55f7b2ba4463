-- What an item delivered, so that its end can be told again when everybody else has lost the event.
ALTER TABLE item ADD COLUMN delivery bytea;
