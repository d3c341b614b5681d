-- +goose Up

-- Tokens that are administered: tokens.Terms. The account is the client's, which never
-- changes; it stands here so that a page of an account's tokens is one read.
ALTER TABLE grants ADD COLUMN account     TEXT NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN environment TEXT NOT NULL DEFAULT '';    -- empty: its client's
ALTER TABLE grants ADD COLUMN lives_from  INTEGER NOT NULL DEFAULT 0;  -- microseconds since 1970, as all times; 0: created_at
ALTER TABLE grants ADD COLUMN rotation    INTEGER NOT NULL DEFAULT 0;  -- how often another token took its place
ALTER TABLE grants ADD COLUMN old_hash    BLOB;                        -- of the opaque token before; NULL: none that may still work
ALTER TABLE grants ADD COLUMN old_until   INTEGER NOT NULL DEFAULT 0;  -- when the token before ends
ALTER TABLE grants ADD COLUMN deleted     INTEGER NOT NULL DEFAULT 0;  -- 1: revoked, and not shown any more
UPDATE grants SET account = (SELECT account FROM clients WHERE clients.id = grants.client);
DROP INDEX grants_of_client;
CREATE INDEX grants_of_client ON grants (client, created_at, id);
CREATE INDEX grants_of_account ON grants (account, created_at, id);
CREATE INDEX grants_by_creation ON grants (created_at, id);

ALTER TABLE families ADD COLUMN token TEXT NOT NULL DEFAULT '';        -- recorded token that its refresh token rotates; empty: none
