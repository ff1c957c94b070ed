-- The ways back into an account.
-- +goose Up

-- The secrets of links that act on an account which others can see. account_id is NULL where the mail went to an address
-- that no account has proven: whoever asks must not tell the two apart by the work that they make.
CREATE TABLE account_link (
    purpose    text   NOT NULL,            -- recover (sets a new password), alarm ("this wasn't me"), address (a new one), reopen
    hash       blob  NOT NULL,            -- SHA-256 of the token
    account_id text   REFERENCES account (id) ON DELETE CASCADE,
    email      text   NOT NULL DEFAULT '', -- address: the new one; alarm: the one that the mail went to
    canonical  text   NOT NULL DEFAULT '',
    created_at integer NOT NULL,
    expires_at integer NOT NULL,
    used_at    integer,
    PRIMARY KEY (purpose, hash)
);
CREATE UNIQUE INDEX account_link_live ON account_link (account_id, purpose) WHERE used_at IS NULL AND purpose IN ('recover', 'address');
CREATE INDEX account_link_account ON account_link (account_id);
CREATE INDEX account_link_expires ON account_link (expires_at);

-- Where a browser last signed in from: its network as people read it, never the whole address.
ALTER TABLE browser ADD COLUMN network text NOT NULL DEFAULT '';

-- "Keep me signed in" was ticked at the last sign-in there.
ALTER TABLE browser ADD COLUMN kept boolean NOT NULL DEFAULT true;
