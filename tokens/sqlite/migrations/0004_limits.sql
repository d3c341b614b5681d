-- +goose Up

-- Terms of one access token: tokens.Terms. Numbers are 0 where there is no limit.
ALTER TABLE grants ADD COLUMN name           TEXT NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN trusted_ips    TEXT NOT NULL DEFAULT '';    -- prefixes separated by single spaces; empty: anywhere
ALTER TABLE grants ADD COLUMN total_requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN paid_requests  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN per_minute     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN per_day        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN wallet_amount  INTEGER NOT NULL DEFAULT 0;  -- millionths of the currency's unit, as all money
ALTER TABLE grants ADD COLUMN limits_rev     INTEGER NOT NULL DEFAULT 0;  -- edits of the limits; 0: there never were any

ALTER TABLE accounts ADD COLUMN credit     INTEGER NOT NULL DEFAULT 0;    -- sum of its wallet_credits
ALTER TABLE accounts ADD COLUMN credit_rev INTEGER NOT NULL DEFAULT 0;    -- how many there are

CREATE TABLE wallet_credits (
	account TEXT NOT NULL REFERENCES accounts (name),
	id      TEXT NOT NULL,    -- the caller's: the same one pays once
	amount  INTEGER NOT NULL, -- negative: a correction
	what    TEXT NOT NULL,
	at      INTEGER NOT NULL, -- microseconds since 1970, as all times
	PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX wallet_credits_by_time ON wallet_credits (account, at, id);

-- Limits that stand in configuration files, and how often each was another one.
CREATE TABLE limit_revisions (
	name  TEXT PRIMARY KEY, -- such as default.per_day
	value INTEGER NOT NULL,
	rev   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Tokens and API keys that are refused because they exceeded their per_minute.
CREATE TABLE lockouts (
	issuer  TEXT NOT NULL, -- empty: an API key
	token   TEXT NOT NULL,
	client  TEXT NOT NULL,
	account TEXT NOT NULL,
	plan    TEXT NOT NULL,
	since   INTEGER NOT NULL,
	until   INTEGER NOT NULL,
	PRIMARY KEY (issuer, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX lockouts_by_end ON lockouts (until);
