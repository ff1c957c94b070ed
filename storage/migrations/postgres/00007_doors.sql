-- Who may come in, and what they have accepted.
-- +goose Up

-- Links by which people register where registration is by invitation.
CREATE TABLE invitation (
    id         text PRIMARY KEY,
    hash       bytea NOT NULL,              -- SHA-256 of the token
    email      text NOT NULL DEFAULT '',   -- the one address that it is for; '': any
    canonical  text NOT NULL DEFAULT '',   -- of it
    uses       bigint NOT NULL,            -- how many may still confirm a registration; those that wait are counted
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE UNIQUE INDEX invitation_hash ON invitation (hash);
CREATE INDEX invitation_expires ON invitation (expires_at);

-- The invitation that it came by. No reference: an invitation goes, and the account stays.
ALTER TABLE account ADD COLUMN invitation_id text NOT NULL DEFAULT '';
CREATE INDEX account_invitation ON account (invitation_id) WHERE invitation_id <> '' AND state = 'pending';

-- What was accepted at terms_at; '': what there was before they had versions.
ALTER TABLE account ADD COLUMN terms_version text NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN privacy_version text NOT NULL DEFAULT '';
