-- One row: this database is the original. A copy of "passport backup" comes without it, and only "passport restore" puts it
-- back: a server that started on a copy would honour again what was ended after the copy was made. An empty database gets
-- its row together with its first keys.
-- +goose Up

CREATE TABLE original (
    n integer PRIMARY KEY CHECK (n = 1)
);
INSERT INTO original (n) SELECT 1 WHERE EXISTS (SELECT 1 FROM secret);
