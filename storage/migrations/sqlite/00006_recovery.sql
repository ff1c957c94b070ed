-- Several addresses, a recovery address and a recovery question, and what somebody asks for who has lost everything.
-- +goose Up

-- One live link an account, a purpose and an address: a recovery goes to two addresses at once.
DROP INDEX account_link_live;
CREATE UNIQUE INDEX account_link_live ON account_link (account_id, purpose, canonical)
    WHERE used_at IS NULL AND purpose IN ('recover', 'address', 'backup');

-- Of an alarm: since when the address that the mail went to had been proven, and whether it was the primary one.
ALTER TABLE account_link ADD COLUMN proven_at integer;
ALTER TABLE account_link ADD COLUMN is_primary boolean NOT NULL DEFAULT true;

-- Of a recovery: how many answers to the recovery question were tried with it.
ALTER TABLE account_link ADD COLUMN tries integer NOT NULL DEFAULT 0;

-- What helps an account back, and nobody signs in with. The address may be anybody's: it is unique nowhere.
CREATE TABLE recovery (
    account_id  text PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    email       text   NOT NULL DEFAULT '', -- as typed; empty: none
    canonical   text   NOT NULL DEFAULT '',
    proven_at   integer,                     -- none: nothing is sent to it but its own proof
    question    text   NOT NULL DEFAULT '', -- as typed; empty: none
    answer      text   NOT NULL DEFAULT '', -- the argon2id hash of its normal form, with its parameters
    question_at integer
);

-- Somebody says that an account is theirs, and that they can read none of its mail. account_id is NULL where no account has
-- the address that was typed: whoever asks must not tell the two apart. Of what they know, only whether it is right is kept.
-- state: asked (the address to reach them at is not proven), open, joined (another one was open), stopped (by the account's
-- owner), approved, denied, done (the account is theirs), over (nobody decided).
CREATE TABLE recovery_request (
    id          text PRIMARY KEY,
    account_id  text REFERENCES account (id) ON DELETE CASCADE,
    state       text   NOT NULL,
    hash        blob  NOT NULL UNIQUE,    -- SHA-256 of the token that proves the address
    email       text   NOT NULL,           -- where to reach them, as typed
    canonical   text   NOT NULL,
    language    text   NOT NULL,
    birthdate   text   NOT NULL DEFAULT '', -- match, no match, or empty: not given
    phone       text   NOT NULL DEFAULT '',
    answer      text   NOT NULL DEFAULT '',
    sites       integer NOT NULL DEFAULT 0,  -- given
    sites_right integer NOT NULL DEFAULT 0,  -- of these
    note        blob,                     -- to the operator, sealed
    others      integer NOT NULL DEFAULT 0,  -- joined this one
    notices     integer NOT NULL DEFAULT 0,  -- rounds of mails to the account's addresses
    created_at  integer NOT NULL,
    opened_at   integer,
    decided_at  integer,
    expires_at  integer NOT NULL             -- purged then
);
CREATE UNIQUE INDEX recovery_request_open ON recovery_request (account_id) WHERE state IN ('open', 'approved');
CREATE INDEX recovery_request_account ON recovery_request (account_id);
CREATE INDEX recovery_request_waits ON recovery_request (opened_at) WHERE state IN ('open', 'joined', 'stopped');
CREATE INDEX recovery_request_expires ON recovery_request (expires_at);
