-- The rest of the protocol: registration, device grant, keys and logos of clients, who was told of a sign-out.
-- +goose Up

ALTER TABLE client ADD COLUMN registered_by text NOT NULL DEFAULT ''; -- '' (the operator) token anyone
ALTER TABLE client ADD COLUMN used_at bigint; -- first use of one that anyone may have registered
CREATE INDEX client_unused ON client (created_at) WHERE registered_by = 'anyone' AND used_at IS NULL;

-- The picture that a client's logo_uri led to, drawn anew.
ALTER TABLE client ADD COLUMN logo_hash text NOT NULL DEFAULT ''; -- of the picture, in its URL; '': there is none
CREATE TABLE client_logo (
    client_id text PRIMARY KEY REFERENCES client (client_id) ON DELETE CASCADE ON UPDATE CASCADE,
    png       bytea NOT NULL
);

-- Which client is the resource server of what (RFC 8707; the client's resource_server_for).
CREATE TABLE resource_server (
    resource  text PRIMARY KEY,
    client_id text NOT NULL REFERENCES client (client_id) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX resource_server_client ON resource_server (client_id);

-- What stands behind a jwks_uri: asked for at most once a minute by all replicas together.
CREATE TABLE key_set (
    uri        text PRIMARY KEY,
    body       bytea  NOT NULL,            -- of the last good answer; empty: there was none
    tried_at   bigint NOT NULL,
    ended_at   bigint,                     -- of that attempt; NULL: none has ended
    fetched_at bigint                      -- when body was fetched
);
CREATE INDEX key_set_tried ON key_set (tried_at);

-- Lets somebody register clients that the operator vouches for (RFC 7591).
CREATE TABLE registration_token (
    id         text PRIMARY KEY,
    hash       bytea  NOT NULL UNIQUE,     -- SHA-256 of the token
    uses       bigint NOT NULL,            -- that are left
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX registration_token_expires ON registration_token (expires_at);

-- A device that waits for a person (RFC 8628). What it gets hangs on the row of table code with the same sig.
CREATE TABLE device_code (
    sig        bytea PRIMARY KEY,          -- SHA-256 of the device code
    user_code  bytea  NOT NULL UNIQUE,     -- HMAC of the user code: it is short
    client_id  text   NOT NULL REFERENCES client (client_id) ON DELETE CASCADE ON UPDATE CASCADE,
    params     text   NOT NULL,            -- the checked request, urlencoded
    state      text   NOT NULL,            -- pending approved denied
    pause      bigint NOT NULL,            -- seconds between two polls: grows with slow_down
    polled_at  bigint,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX device_code_client ON device_code (client_id);
CREATE INDEX device_code_expires ON device_code (expires_at);

-- What became of telling the site that this login is over: '' (nobody has tried), trying, told, failed.
ALTER TABLE login_client ADD COLUMN notice text NOT NULL DEFAULT '';
ALTER TABLE login_client ADD COLUMN notice_at bigint;
