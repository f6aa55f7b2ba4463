-- Which event the broker put at that sequence. A broker that lost its store may be filled by others
-- past that number before a relay looks: then another event stands there.
ALTER TABLE relay ADD COLUMN last_event text NOT NULL DEFAULT '';
