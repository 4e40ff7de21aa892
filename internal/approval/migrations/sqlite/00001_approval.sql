-- +goose Up
-- Times are microseconds since 1970, UTC. doc holds what never changes of a
-- proposal, as JSON; the columns beside it are what changes or is searched.
CREATE TABLE proposals (
    id         TEXT PRIMARY KEY,
    run        TEXT NOT NULL,
    state      TEXT NOT NULL,
    expires    INTEGER NOT NULL,
    message_ts TEXT NOT NULL DEFAULT '',
    doc        TEXT NOT NULL
);
CREATE INDEX proposals_run ON proposals (run);
CREATE INDEX proposals_due ON proposals (state, expires);

CREATE TABLE decisions (
    proposal TEXT NOT NULL REFERENCES proposals (id),
    member   TEXT NOT NULL,
    approve  BOOLEAN NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (proposal, member, approve)
);

CREATE TABLE runs (
    id          TEXT PRIMARY KEY,
    team        TEXT NOT NULL,
    channel     TEXT NOT NULL,
    thread      TEXT NOT NULL,
    cluster     TEXT NOT NULL,
    asker       TEXT NOT NULL,
    ask         TEXT NOT NULL,
    started     INTEGER NOT NULL,
    state       TEXT NOT NULL,
    report      TEXT NOT NULL,
    report_ts   TEXT NOT NULL,
    progress_ts TEXT NOT NULL
);
CREATE INDEX runs_thread ON runs (channel, thread, started);

CREATE TABLE posts (
    id    TEXT PRIMARY KEY,
    ts    TEXT NOT NULL DEFAULT '',
    begun INTEGER NOT NULL
);

CREATE TABLE object_locks (
    object TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until  INTEGER NOT NULL
);

-- body is the entry as JSON, hash its SHA-256; each body names the hash of
-- the one before. once keeps a repeated step from being logged twice.
CREATE TABLE audit (
    seq  INTEGER PRIMARY KEY,
    once TEXT UNIQUE,
    body TEXT NOT NULL,
    hash TEXT NOT NULL
);
-- +goose StatementBegin
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- INSERT OR REPLACE deletes without asking the trigger above.
-- +goose StatementBegin
CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
