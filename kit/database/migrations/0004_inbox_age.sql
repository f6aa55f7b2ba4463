-- An event that was received a month ago does not come again: its row goes, by its age.
CREATE INDEX inbox_age ON inbox (received_at);
