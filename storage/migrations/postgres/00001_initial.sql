-- Times are UTC microseconds since 1970 (bigint): both databases compare and round them alike.
-- Hashes and sealed values are bytea; ids are UUIDv7 text unless a comment says otherwise.
-- +goose Up

-- One row a topic ("keys", "client"): servers poll n and reload what has changed.
CREATE TABLE revision (
    topic text PRIMARY KEY,
    n     bigint NOT NULL
);
INSERT INTO revision (topic, n) VALUES ('keys', 1), ('client', 1);

-- HMAC keys and salts: random, sealed by PASSPORT_SECRET, never derived from it.
CREATE TABLE secret (
    purpose    text PRIMARY KEY,
    sealed     bytea  NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE signing_key (
    kid        text PRIMARY KEY,
    purpose    text   NOT NULL,            -- oidc; later dkim, ...
    alg        text   NOT NULL,            -- RS256 PS256 ES256 EdDSA
    state      text   NOT NULL,            -- next active retired
    public_jwk text   NOT NULL,
    sealed     bytea  NOT NULL,            -- the private JWK
    created_at bigint NOT NULL,
    active_at  bigint,                     -- next: signs from here on
    retired_at bigint,
    remove_at  bigint                      -- retired: leaves the key set
);
CREATE INDEX signing_key_purpose ON signing_key (purpose, alg, state);

-- A person. state: pending (registered, address not proven), active, disabled.
-- Any number of pending accounts may name one address; the first proof wins.
CREATE TABLE account (
    id           text PRIMARY KEY,
    sub          text   NOT NULL UNIQUE,   -- 128 random bits, base64url; given to clients
    state        text   NOT NULL,
    name         text   NOT NULL DEFAULT '',
    claims       text   NOT NULL DEFAULT '{}', -- the other standard claims (OIDC Core 5.1), a JSON object
    language     text   NOT NULL DEFAULT 'en',
    created_at   bigint NOT NULL,
    updated_at   bigint NOT NULL,
    disabled_at  bigint,
    terms_at     bigint,                   -- terms accepted
    expires_at   bigint,                   -- pending: purged then
    form_id      text,                     -- pending: the one-time id of the form (a double post makes one row)
    browser_hash bytea,                    -- pending: SHA-256 of the flow cookie of the browser that registered
    interaction  bytea                     -- pending: the interaction (its id's SHA-256) it was registered in
);
CREATE UNIQUE INDEX account_form ON account (form_id) WHERE form_id IS NOT NULL;
CREATE INDEX account_expires ON account (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX account_interaction ON account (interaction) WHERE interaction IS NOT NULL;
CREATE INDEX account_browser ON account (browser_hash) WHERE browser_hash IS NOT NULL;

CREATE TABLE address (
    id         text PRIMARY KEY,
    account_id text   NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    email      text   NOT NULL,            -- as typed: what mail is sent to
    canonical  text   NOT NULL,            -- made in Go; what is compared
    is_primary boolean NOT NULL,
    proven_at  bigint,
    created_at bigint NOT NULL
);
CREATE UNIQUE INDEX address_proven ON address (canonical) WHERE proven_at IS NOT NULL;
CREATE INDEX address_canonical ON address (canonical, created_at);
CREATE UNIQUE INDEX address_primary ON address (account_id) WHERE is_primary;
CREATE INDEX address_account ON address (account_id);

CREATE TABLE credential (
    id         text PRIMARY KEY,
    account_id text   NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    kind       text   NOT NULL,            -- password; later passkey, totp, ...
    secret     text   NOT NULL,            -- password: the argon2id hash with its parameters
    created_at bigint NOT NULL,
    used_at    bigint
);
CREATE UNIQUE INDEX credential_password ON credential (account_id) WHERE kind = 'password';
CREATE INDEX credential_account ON credential (account_id);

-- The secrets of links in mails. One live a purpose and address.
CREATE TABLE mail_token (
    purpose    text   NOT NULL,            -- confirm cancel; later recover, ...
    hash       bytea  NOT NULL,            -- SHA-256 of the token
    account_id text   NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    address_id text   NOT NULL REFERENCES address (id) ON DELETE CASCADE,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    used_at    bigint,
    PRIMARY KEY (purpose, hash)
);
CREATE UNIQUE INDEX mail_token_live ON mail_token (address_id, purpose) WHERE used_at IS NULL;
CREATE INDEX mail_token_account ON mail_token (account_id);
CREATE INDEX mail_token_expires ON mail_token (expires_at);

-- A browser that signed in at least once, and who is signed in there.
CREATE TABLE browser (
    id         text PRIMARY KEY,
    device     text   NOT NULL DEFAULT '', -- the User-Agent, cut to 256 bytes
    created_at bigint NOT NULL,
    seen_at    bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX browser_expires ON browser (expires_at);

CREATE TABLE session_secret (
    hash       bytea PRIMARY KEY,          -- SHA-256 of the cookie's value
    kind       text   NOT NULL,            -- sid; later fedcm
    browser_id text   NOT NULL REFERENCES browser (id) ON DELETE CASCADE,
    created_at bigint NOT NULL
);
CREATE INDEX session_secret_browser ON session_secret (browser_id);

CREATE TABLE login (
    id         text PRIMARY KEY,
    browser_id text   NOT NULL REFERENCES browser (id) ON DELETE CASCADE,
    account_id text   NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    auth_time  bigint NOT NULL,            -- whole seconds, in microseconds
    amr        text   NOT NULL,            -- space-separated, RFC 8176
    acr        text   NOT NULL,
    event      bytea,                      -- the interaction (its id's SHA-256) that the last authentication served
    created_at bigint NOT NULL,
    ended_at   bigint
);
CREATE UNIQUE INDEX login_live ON login (browser_id, account_id) WHERE ended_at IS NULL;
CREATE INDEX login_account ON login (account_id);

CREATE TABLE client (
    client_id    text PRIMARY KEY,         -- up to 512 characters
    name         text    NOT NULL,         -- client_name, for lists
    metadata     text    NOT NULL,         -- the RFC 7591 document, without secrets
    require_pkce boolean NOT NULL,
    skip_consent boolean NOT NULL,
    owner        text,                     -- an account; none: the operator's
    created_at   bigint  NOT NULL,
    updated_at   bigint  NOT NULL,
    disabled_at  bigint,
    verified_at  bigint,
    registration_hash bytea,               -- SHA-256 of the registration access token (RFC 7592)
    revision     bigint  NOT NULL          -- revision.n of topic client when it last changed
);
CREATE INDEX client_revision ON client (revision);

CREATE TABLE client_secret (
    id         text PRIMARY KEY,
    client_id  text   NOT NULL REFERENCES client (client_id) ON DELETE CASCADE ON UPDATE CASCADE,
    hash       bytea,                      -- HMAC-SHA-256 under the secret "client-secret"
    sealed     bytea,                      -- instead, while an HS* method or algorithm needs the value
    created_at bigint NOT NULL,
    expires_at bigint                      -- the older of two, after rotation
);
CREATE INDEX client_secret_client ON client_secret (client_id);

-- The request of a person who is on our pages. id: SHA-256 of the random id in the URL.
CREATE TABLE interaction (
    id         bytea PRIMARY KEY,
    kind       text   NOT NULL,            -- authorize; later device, logout
    client_id  text   NOT NULL,
    params     text   NOT NULL,            -- the checked request, urlencoded, at most 8 KiB
    binding    bytea,                      -- SHA-256 of the flow cookie; NULL: not yet bound (cross-site POST)
    login_id   text,                       -- the account chosen in this interaction
    created_at bigint NOT NULL,            -- arrival of the first request
    expires_at bigint NOT NULL
);
CREATE INDEX interaction_expires ON interaction (expires_at);

-- What a person has allowed a site, remembered. login_id: '' or the one login that it holds for.
CREATE TABLE consent (
    account_id text   NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    client_id  text   NOT NULL REFERENCES client (client_id) ON DELETE CASCADE,
    login_id   text   NOT NULL DEFAULT '',
    scopes     text   NOT NULL,            -- space-separated
    claims     text   NOT NULL DEFAULT '', -- names from the claims parameter, space-separated
    granted_at bigint NOT NULL,
    PRIMARY KEY (account_id, client_id, login_id)
);
CREATE INDEX consent_client ON consent (client_id);
CREATE INDEX consent_login ON consent (login_id) WHERE login_id <> '';

-- One authorization (two devices are two). Named so because GRANT is a reserved word.
CREATE TABLE authorization_grant (
    id          text PRIMARY KEY,
    account_id  text   NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    client_id   text   NOT NULL REFERENCES client (client_id) ON DELETE CASCADE,
    login_id    text   NOT NULL,           -- no foreign key: offline grants outlive the login
    sid         text   NOT NULL,
    scopes      text   NOT NULL,
    audience    text   NOT NULL DEFAULT '',
    auth_time   bigint NOT NULL,
    amr         text   NOT NULL,
    acr         text   NOT NULL,
    claims      text   NOT NULL DEFAULT '', -- the claims parameter, JSON
    offline     boolean NOT NULL DEFAULT false, -- offline_access was granted: survives logout
    cnf         text   NOT NULL DEFAULT '', -- confirmation key thumbprint of refresh tokens
    created_at  bigint NOT NULL,
    refresh_generation bigint NOT NULL DEFAULT 0, -- of the newest refresh token; 0: none was issued
    rotated_at  bigint,
    refresh_expires_at bigint,             -- idle limit of the newest refresh token
    expires_at  bigint NOT NULL,           -- absolute limit; purged after
    revoked_at  bigint
);
CREATE INDEX grant_account ON authorization_grant (account_id, client_id);
CREATE INDEX grant_client ON authorization_grant (client_id);
CREATE INDEX grant_login ON authorization_grant (login_id);
CREATE INDEX grant_expires ON authorization_grant (expires_at);

CREATE TABLE code (
    sig          bytea PRIMARY KEY,        -- SHA-256 of the code
    grant_id     text   NOT NULL REFERENCES authorization_grant (id) ON DELETE CASCADE,
    client_id    text   NOT NULL,
    redirect_uri text   NOT NULL,
    challenge    text   NOT NULL DEFAULT '',
    method       text   NOT NULL DEFAULT '',
    nonce        text   NOT NULL DEFAULT '',
    cnf          text   NOT NULL DEFAULT '', -- dpop_jkt
    created_at   bigint NOT NULL,
    expires_at   bigint NOT NULL,
    used_at      bigint
);
CREATE INDEX code_grant ON code (grant_id);
CREATE INDEX code_expires ON code (expires_at);

CREATE TABLE access_token (
    sig        bytea PRIMARY KEY,          -- SHA-256 of the token
    grant_id   text REFERENCES authorization_grant (id) ON DELETE CASCADE, -- none: client_credentials
    client_id  text   NOT NULL REFERENCES client (client_id) ON DELETE CASCADE,
    scopes     text   NOT NULL,
    audience   text   NOT NULL DEFAULT '',
    cnf        text   NOT NULL DEFAULT '',
    issued_at  bigint NOT NULL,
    expires_at bigint NOT NULL,
    revoked_at bigint
);
CREATE INDEX access_token_grant ON access_token (grant_id);
CREATE INDEX access_token_client ON access_token (client_id);
CREATE INDEX access_token_expires ON access_token (expires_at);

-- Which sites a login reached: who must be told at logout.
CREATE TABLE login_client (
    login_id  text   NOT NULL REFERENCES login (id) ON DELETE CASCADE,
    client_id text   NOT NULL REFERENCES client (client_id) ON DELETE CASCADE,
    sid       text   NOT NULL,
    first_at  bigint NOT NULL,
    last_at   bigint NOT NULL,
    PRIMARY KEY (login_id, client_id)
);
CREATE INDEX login_client_client ON login_client (client_id);

-- Things that may be used once: jti, proofs, captcha solutions, TOTP steps.
CREATE TABLE used_once (
    kind       text   NOT NULL,
    key        bytea  NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX used_once_expires ON used_once (expires_at);

-- GCRA: tat is the theoretical arrival time, by the database's clock.
CREATE TABLE rate (
    key text PRIMARY KEY,
    tat bigint NOT NULL
);
CREATE INDEX rate_tat ON rate (tat);

CREATE TABLE outbox (
    id           text PRIMARY KEY,
    kind         text   NOT NULL,          -- mail; later logout, export, ...
    sealed       bytea  NOT NULL,          -- the job's body: it may hold links
    attempts     bigint NOT NULL DEFAULT 0,
    due_at       bigint NOT NULL,
    lease        text   NOT NULL DEFAULT '', -- who works at it
    leased_until bigint,
    created_at   bigint NOT NULL,
    expires_at   bigint NOT NULL,          -- given up then
    failed_at    bigint,                   -- given up
    error        text   NOT NULL DEFAULT ''  -- the last error's kind, never an address or a link
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE failed_at IS NULL;

CREATE TABLE audit (
    id         text PRIMARY KEY,           -- UUIDv7
    at         bigint NOT NULL,
    event      text   NOT NULL,
    actor_kind text   NOT NULL,            -- account client operator system anonymous
    actor_id   text   NOT NULL DEFAULT '',
    subject    text   NOT NULL DEFAULT '', -- the account it is about
    client_id  text   NOT NULL DEFAULT '',
    session    text   NOT NULL DEFAULT '', -- the login's id
    detail     text   NOT NULL DEFAULT ''  -- JSON; nothing secret
);
CREATE INDEX audit_subject ON audit (subject, at);
CREATE INDEX audit_at ON audit (at);
