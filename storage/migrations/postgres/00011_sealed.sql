-- An authorization code that carries what it stands for has no row: its redemption writes the grant (oidc/engine, seal.go).
-- +goose Up

-- What servers of the version before cannot read is not written before then: they may still run beside this one.
CREATE TABLE upgrade (
    what       text PRIMARY KEY,
    not_before bigint NOT NULL
);
INSERT INTO upgrade SELECT 'sealed_code', CASE WHEN EXISTS (SELECT 1 FROM account)
    THEN CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) + 3600000000 ELSE 0 END;
