-- What the API needs: tokens, repeatable requests, uploads in parts, progress. Times are milliseconds since the Unix epoch.

-- A higher number is leased first.
ALTER TABLE tasks ADD COLUMN priority BIGINT NOT NULL DEFAULT 0;
-- The token that the task was sent with; null: none.
ALTER TABLE tasks ADD COLUMN token_id TEXT;
-- Who cancelled it, as far as that is known; null: it was not cancelled.
ALTER TABLE tasks ADD COLUMN cancelled_by TEXT;

DROP INDEX tasks_unfinished;
CREATE INDEX tasks_queue ON tasks (priority DESC, submitted_at, id) WHERE finished_at IS NULL;

CREATE TABLE tokens (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL,
    role         BIGINT NOT NULL, -- see Role
    sha256       BYTEA NOT NULL UNIQUE,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    revoked_at   BIGINT
);

-- Requests that may be repeated without making a second task.
CREATE TABLE idempotency_keys (
    key_sha256     BYTEA NOT NULL PRIMARY KEY, -- of who sent it and the key
    task_id        BIGINT NOT NULL,
    salt           BYTEA NOT NULL,    -- with the key it gives the task's password, which is not stored
    request_sha256 BYTEA,             -- null: the request is not complete
    expires_at     BIGINT NOT NULL
);

CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

-- Uploads in parts. The task row holds their lease.
CREATE TABLE uploads (
    task_id      BIGINT NOT NULL PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    sender       TEXT NOT NULL,   -- token or network
    request      TEXT NOT NULL,   -- JSON: what the request that began it said
    offset_bytes BIGINT NOT NULL, -- this much is on disk
    length_bytes BIGINT           -- null: not known yet
);

CREATE INDEX uploads_by_sender ON uploads (sender);

-- What workers say while they work.
CREATE TABLE task_progress (
    task_id BIGINT NOT NULL PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    steps   TEXT NOT NULL -- JSON: the last steps, oldest first
);
