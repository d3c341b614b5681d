-- +goose Up

-- Whoever may ask for tokens. seq is the order of creation; it is not the row
-- number SQLite would give again after a deletion.
CREATE TABLE clients (
	seq         INTEGER PRIMARY KEY AUTOINCREMENT,
	id          TEXT NOT NULL UNIQUE,
	name        TEXT NOT NULL,
	alias       TEXT UNIQUE,      -- NULL: none
	account     TEXT NOT NULL,
	plan        TEXT NOT NULL,
	environment TEXT NOT NULL,
	scopes      TEXT NOT NULL,    -- separated by single spaces, sorted
	trusted_ips TEXT NOT NULL,    -- prefixes separated by single spaces; empty: anywhere
	token_ttl   INTEGER NOT NULL, -- seconds; 0: the configuration's
	secret_hash BLOB NOT NULL,    -- HMAC-SHA-256 under a pepper that is not in this file
	created_at  INTEGER NOT NULL  -- microseconds since 1970
) STRICT;

-- Private keys, sealed with AES-256-GCM under a key that is not in this file.
CREATE TABLE signing_keys (
	seq        INTEGER PRIMARY KEY AUTOINCREMENT,
	id         TEXT NOT NULL UNIQUE, -- kid
	alg        TEXT NOT NULL,
	sealed     BLOB NOT NULL,        -- nonce, then PKCS #8 encrypted
	created_at INTEGER NOT NULL      -- microseconds since 1970
) STRICT;

-- What changed, in the order in which it was committed: the feed that every
-- registry follows. Rows are never deleted, a registry may be that far behind.
CREATE TABLE changes (
	seq  INTEGER PRIMARY KEY AUTOINCREMENT,
	kind TEXT NOT NULL,   -- client, signing_key
	id   TEXT NOT NULL,
	at   INTEGER NOT NULL -- microseconds since 1970
) STRICT;
