-- +goose Up

ALTER TABLE clients ADD COLUMN format     TEXT NOT NULL DEFAULT '';    -- of its access tokens; empty: the configuration's
ALTER TABLE clients ADD COLUMN refresh    INTEGER NOT NULL DEFAULT 0;  -- 1: refresh tokens come with them
ALTER TABLE clients ADD COLUMN suspended  INTEGER NOT NULL DEFAULT 0;  -- 1: refused until it is resumed
ALTER TABLE clients ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;  -- of the newest secret that was ever made
ALTER TABLE clients ADD COLUMN ended      INTEGER NOT NULL DEFAULT 0;  -- tokens of this generation and before are refused

-- The secrets of clients. A row is kept until the secret is revoked or its time is
-- over; its generation is never given again.
CREATE TABLE client_secrets (
	client     TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
	generation INTEGER NOT NULL,
	hash       BLOB NOT NULL,    -- HMAC-SHA-256 under a pepper that is not in this file
	until      INTEGER NOT NULL, -- microseconds since 1970; 0: no end
	PRIMARY KEY (client, generation)
) STRICT, WITHOUT ROWID;
INSERT INTO client_secrets (client, generation, hash, until) SELECT id, 1, secret_hash, 0 FROM clients;
ALTER TABLE clients DROP COLUMN secret_hash;

CREATE TABLE accounts (
	name       TEXT PRIMARY KEY,
	zone       TEXT NOT NULL,    -- IANA time zone; empty: the configuration's
	created_at INTEGER NOT NULL  -- microseconds since 1970
) STRICT, WITHOUT ROWID;
INSERT INTO accounts (name, zone, created_at) SELECT account, '', min(created_at) FROM clients GROUP BY account;

-- Grants that live on by refresh tokens, which themselves are not stored: see
-- tokens.Pepper.RefreshToken.
CREATE TABLE families (
	id           TEXT PRIMARY KEY,
	client       TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
	generation   INTEGER NOT NULL, -- of the client secret that was used last
	scopes       TEXT NOT NULL,
	audience     TEXT NOT NULL,
	counter      INTEGER NOT NULL, -- of the refresh token that works
	created_at   INTEGER NOT NULL, -- microseconds since 1970, as all times
	rotated_at   INTEGER NOT NULL,
	idle_until   INTEGER NOT NULL,
	expires_at   INTEGER NOT NULL,
	ended_at     INTEGER NOT NULL, -- 0: it was not ended
	tokens_until INTEGER NOT NULL  -- when the last access token expires
) STRICT, WITHOUT ROWID;
CREATE INDEX families_of_client ON families (client);

-- Access tokens that must be known: opaque ones, and JWTs that were revoked.
CREATE TABLE grants (
	id         TEXT PRIMARY KEY, -- jti
	client     TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
	hash       BLOB UNIQUE,      -- SHA-256 of an opaque token; NULL: a JWT
	family     TEXT NOT NULL,    -- empty: none
	generation INTEGER NOT NULL,
	scopes     TEXT NOT NULL,
	audience   TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	revoked_at INTEGER NOT NULL  -- 0: it was not
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_of_client ON grants (client);
CREATE INDEX grants_by_end ON grants (expires_at);

CREATE TABLE api_keys (
	seq         INTEGER PRIMARY KEY AUTOINCREMENT,
	id          TEXT NOT NULL UNIQUE,
	hash        BLOB NOT NULL UNIQUE, -- SHA-256 of the key
	name        TEXT NOT NULL,
	account     TEXT NOT NULL,
	plan        TEXT NOT NULL,
	environment TEXT NOT NULL,
	scopes      TEXT NOT NULL,
	trusted_ips TEXT NOT NULL,
	apis        TEXT NOT NULL,        -- names separated by spaces; empty: all
	created_at  INTEGER NOT NULL,
	expires_at  INTEGER NOT NULL      -- 0: never
) STRICT;

-- Accounts that use OAuth 2.0 at an API: their API keys are refused there.
CREATE TABLE moves (
	account TEXT NOT NULL,
	api     TEXT NOT NULL,
	client  TEXT NOT NULL, -- that made the request
	at      INTEGER NOT NULL,
	PRIMARY KEY (account, api)
) STRICT, WITHOUT ROWID;

ALTER TABLE signing_keys ADD COLUMN signs_from     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signing_keys ADD COLUMN verifies_until INTEGER NOT NULL DEFAULT 0; -- 0: it is the newest
UPDATE signing_keys SET signs_from = created_at;

CREATE INDEX changes_by_time ON changes (at);
