-- +goose Up

-- What was counted of requests, see package stats: who may read data, and what is in it.
-- Each process's last batch: one that is sent again is not stored again.
CREATE TABLE stats_processes (
	process BLOB PRIMARY KEY,
	number  INTEGER NOT NULL,
	seen    INTEGER NOT NULL  -- microseconds since 1970, as all times but those of rows
) STRICT, WITHOUT ROWID;
CREATE INDEX stats_processes_by_time ON stats_processes (seen);

-- Added and not merged yet. An ID is never used again: whoever deletes one knows that it
-- is the row that he has read.
CREATE TABLE stats_added (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	account TEXT NOT NULL,    -- empty: nobody who was identified
	start   INTEGER NOT NULL, -- of the minute, in seconds since 1970
	data    BLOB NOT NULL
) STRICT;
CREATE INDEX stats_added_by_account ON stats_added (account, id);

-- Merged: one row for each account and time. The rows are large, so they lie apart from
-- the keys by which they are found.
CREATE TABLE stats_merged (
	id         INTEGER PRIMARY KEY,
	account    TEXT NOT NULL,
	resolution INTEGER NOT NULL, -- stats.Resolution
	start      INTEGER NOT NULL, -- seconds since 1970
	rev        INTEGER NOT NULL, -- how often it was written
	data       BLOB NOT NULL,
	UNIQUE (account, resolution, start)
) STRICT;
CREATE INDEX stats_merged_by_time ON stats_merged (resolution, start, account);
