-- The pictures that people have given of themselves, drawn anew.
-- +goose Up

CREATE TABLE picture (
    name       text   PRIMARY KEY,         -- 256 random bits, the last part of its address: no secret, sites have it
    account_id text   NOT NULL UNIQUE REFERENCES account (id) ON DELETE CASCADE,
    jpeg       bytea  NOT NULL,
    created_at bigint NOT NULL
);
