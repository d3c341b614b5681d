-- +goose Up

-- People who sign in.
CREATE TABLE users (
	id         TEXT PRIMARY KEY,
	email      TEXT NOT NULL UNIQUE COLLATE NOCASE, -- ASCII, as it was written
	name       TEXT NOT NULL,
	role       TEXT NOT NULL,
	account    TEXT NOT NULL REFERENCES accounts (name),
	suspended  INTEGER NOT NULL, -- 1: may not sign in until resumed
	created_at INTEGER NOT NULL, -- microseconds since 1970
	rev        INTEGER NOT NULL  -- counts the edits; 1: as created
) STRICT, WITHOUT ROWID;

-- The order of pages: of all records, and of one account's.
CREATE INDEX users_by_creation ON users (created_at, id);
CREATE INDEX users_of_account ON users (account, created_at, id);
CREATE INDEX clients_by_creation ON clients (created_at, id);
CREATE INDEX clients_of_account ON clients (account, created_at, id);
CREATE INDEX api_keys_by_creation ON api_keys (created_at, id);
CREATE INDEX api_keys_of_account ON api_keys (account, created_at, id);
