-- +goose Up

-- Limits that must never be exceeded, see package quota. Amounts are requests, or
-- millionths of the currency's unit. At every commit
--     charged = what was granted to the cell's open leases + folded
CREATE TABLE quota_cells (
	id      BLOB PRIMARY KEY,    -- quota.LimitID, then the window's number in four bytes, the highest first
	lim     INTEGER NOT NULL,
	rev     INTEGER NOT NULL,    -- of the limit
	charged INTEGER NOT NULL,
	folded  INTEGER NOT NULL,    -- spent by leases that are closed
	begins  INTEGER NOT NULL,    -- seconds since 1970; 0: the window always was
	ends    INTEGER NOT NULL     -- seconds since 1970; 0: never
) STRICT, WITHOUT ROWID;
CREATE INDEX quota_cells_by_end ON quota_cells (ends) WHERE ends != 0;

-- What processes may spend. The row of one that died stays with its cell: nobody
-- knows what it had spent.
CREATE TABLE quota_leases (
	cell    BLOB NOT NULL,
	lease   BLOB NOT NULL,    -- the process's name, then the lease's number in eight bytes, the highest first
	seq     INTEGER NOT NULL, -- of the last move
	granted INTEGER NOT NULL, -- written by the ledger alone
	spent   INTEGER NOT NULL, -- written by the lease's holder alone
	closed  INTEGER NOT NULL, -- 1: it is
	seen    INTEGER NOT NULL, -- milliseconds since 1970
	PRIMARY KEY (cell, lease)
) STRICT, WITHOUT ROWID;
CREATE INDEX quota_leases_closed ON quota_leases (seen) WHERE closed = 1;

-- What was spent from wallets. Each lease has rows of its own, so that a sum that is
-- told twice changes nothing; when a lease is deleted its rows are added to those
-- without one.
CREATE TABLE wallet_usage (
	account TEXT NOT NULL,
	hour    INTEGER NOT NULL, -- seconds since 1970 when it began
	what    TEXT NOT NULL,
	price   INTEGER NOT NULL, -- of one
	lease   BLOB NOT NULL,    -- empty: of leases that are gone
	spent   INTEGER NOT NULL,
	count   INTEGER NOT NULL,
	PRIMARY KEY (account, hour DESC, what, price, lease) -- the order in which people read them
) STRICT, WITHOUT ROWID;
CREATE INDEX wallet_usage_of_lease ON wallet_usage (lease) WHERE lease != x'';
