-- An authorization code that carries what it stands for has no row: its redemption writes the grant (oidc/engine, seal.go).
-- +goose Up

-- What servers of the version before cannot read is not written before then: they may still run beside this one.
CREATE TABLE upgrade (
    what       text PRIMARY KEY,
    not_before integer NOT NULL
);
INSERT INTO upgrade VALUES ('sealed_code', 0); -- one server at a time
