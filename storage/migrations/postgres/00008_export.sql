-- The files with all that is known of a person.
-- +goose Up

CREATE TABLE data_export (
    id         text   PRIMARY KEY,
    account_id text   NOT NULL UNIQUE REFERENCES account (id) ON DELETE CASCADE,
    hash       bytea,                       -- SHA-256 of the token of the mail's link; NULL: it is being made
    sealed     bytea,                       -- compressed JSON; NULL: it is being made
    asked_at   bigint NOT NULL,
    made_at    bigint,
    expires_at bigint NOT NULL
);
CREATE INDEX data_export_expires ON data_export (expires_at);
