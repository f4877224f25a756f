-- What one process at a time does, of all on all machines: `retrace gc`, for instance.
CREATE TABLE jobs (
    name            TEXT NOT NULL PRIMARY KEY,
    lock_owner      TEXT,   -- null while nobody does it
    lock_expires_at BIGINT
);

-- When the present lease began: a task that is worked on for too long is ended.
ALTER TABLE tasks ADD COLUMN leased_at BIGINT;

-- The value of finished_at that notifications were made for: a task that is finished again is told again.
ALTER TABLE tasks ADD COLUMN told_finish BIGINT;
UPDATE tasks SET told_finish = finished_at;

CREATE INDEX tasks_finished ON tasks (finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX tasks_untold ON tasks (finished_at) WHERE finished_at IS NOT NULL AND (told_finish IS NULL OR told_finish <> finished_at);

-- Notifications on their way. A row goes when its receiver took it.
CREATE TABLE outbox (
    id          TEXT NOT NULL PRIMARY KEY, -- the same for each try: a receiver tells a repetition by it
    target      TEXT NOT NULL,   -- who gets it, as the configuration names it
    event       TEXT NOT NULL,
    task_id     BIGINT,
    body        TEXT NOT NULL,   -- JSON
    created_at  BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    next_try_at BIGINT NOT NULL, -- while it is being sent: when another sender may take it over
    given_up_at BIGINT,
    last_error  TEXT
);

CREATE INDEX outbox_due ON outbox (next_try_at, id) WHERE given_up_at IS NULL;
