-- Wrong passwords in a row, from browsers that the account does not know.
-- +goose Up
ALTER TABLE credential ADD COLUMN guesses bigint NOT NULL DEFAULT 0;
