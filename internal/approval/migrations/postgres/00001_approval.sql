-- +goose Up
-- Times are microseconds since 1970, UTC. doc holds what never changes of a
-- proposal, as JSON; the columns beside it are what changes or is searched.
CREATE TABLE proposals (
    id         TEXT PRIMARY KEY,
    run        TEXT NOT NULL,
    state      TEXT NOT NULL,
    expires    BIGINT NOT NULL,
    message_ts TEXT NOT NULL DEFAULT '',
    doc        TEXT NOT NULL
);
CREATE INDEX proposals_run ON proposals (run);
CREATE INDEX proposals_due ON proposals (state, expires);

CREATE TABLE decisions (
    proposal TEXT NOT NULL REFERENCES proposals (id),
    member   TEXT NOT NULL,
    approve  BOOLEAN NOT NULL,
    at       BIGINT NOT NULL,
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
    started     BIGINT NOT NULL,
    state       TEXT NOT NULL,
    report      TEXT NOT NULL,
    report_ts   TEXT NOT NULL,
    progress_ts TEXT NOT NULL
);
CREATE INDEX runs_thread ON runs (channel, thread, started);

CREATE TABLE posts (
    id    TEXT PRIMARY KEY,
    ts    TEXT NOT NULL DEFAULT '',
    begun BIGINT NOT NULL
);

CREATE TABLE object_locks (
    object TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until  BIGINT NOT NULL
);

-- body is the entry as JSON, hash its SHA-256; each body names the hash of
-- the one before. once keeps a repeated step from being logged twice.
CREATE TABLE audit (
    seq  BIGINT PRIMARY KEY,
    once TEXT UNIQUE,
    body TEXT NOT NULL,
    hash TEXT NOT NULL
);
-- +goose StatementBegin
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the audit log is append-only'; END;
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
