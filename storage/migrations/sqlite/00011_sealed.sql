-- An authorization code that carries what it stands for has no row: its redemption writes the grant (oidc/engine, seal.go).
-- +goose Up

-- Codes that were sealed for a login in an earlier epoch are void: grants were revoked since.
ALTER TABLE login ADD COLUMN epoch integer NOT NULL DEFAULT 0;

-- What servers of the version before cannot read is not written before then: they may still run beside this one.
CREATE TABLE upgrade (
    what       text PRIMARY KEY,
    written_at integer NOT NULL
);
INSERT INTO upgrade VALUES ('sealed_code', 0); -- one server at a time
