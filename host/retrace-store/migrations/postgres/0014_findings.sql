-- What is known about finished tasks. Times are milliseconds since the Unix epoch, days are days since then.

CREATE TABLE findings (
    task_id      BIGINT NOT NULL PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    release      TEXT,
    architecture TEXT,
    package      TEXT,            -- name-[epoch:]version[-release].arch, or what the client said
    executable   TEXT,
    signal       TEXT,
    reason       TEXT,            -- why it failed: a FailureReason; null: it did not
    addresses    BYTEA,            -- crash signature of addresses
    functions    BYTEA,            -- crash signature of functions
    frames       TEXT NOT NULL,   -- JSON: what the signature of functions is made of
    group_id     BYTEA,
    from_group   BIGINT NOT NULL, -- 1: answered from its group, not retraced
    duration_ms  BIGINT,          -- from the first lease to the end
    steps        TEXT NOT NULL    -- JSON: StepTiming of each step
);

-- What tasks are searched by: a word, a release, a group, …, each as the first eight bytes of a digest (see `Term`).
CREATE TABLE task_terms (
    term       BIGINT NOT NULL,
    created_at BIGINT NOT NULL, -- of the task
    task_id    BIGINT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    PRIMARY KEY (term, created_at, task_id)
);

CREATE INDEX task_terms_by_task ON task_terms (task_id);
CREATE INDEX tasks_by_creation ON tasks (created_at, id);
CREATE INDEX tasks_pending ON tasks (created_at, id) WHERE finished_at IS NULL;

-- Crashes with one signature. Deleting a task changes nothing here: what was seen was seen.
CREATE TABLE crash_groups (
    id            BYTEA NOT NULL PRIMARY KEY, -- the signature
    schema        TEXT NOT NULL,             -- rules that it was made by
    frames        TEXT NOT NULL,             -- JSON; empty: known by addresses alone
    signal        TEXT,                      -- of the last crash
    executable    TEXT,                      -- of the last crash
    first_seen_at BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL,
    crashes       BIGINT NOT NULL,
    answered      BIGINT NOT NULL,           -- of these, answered from the group
    result_stack  BYTEA                       -- the newest result that is kept for the group
);

CREATE INDEX crash_groups_newest ON crash_groups (first_seen_at, id);
CREATE INDEX crash_groups_frequent ON crash_groups (crashes, id);
CREATE INDEX crash_groups_unseen ON crash_groups (last_seen_at);

CREATE TABLE group_packages (
    group_id      BYTEA NOT NULL REFERENCES crash_groups (id) ON DELETE CASCADE,
    release       TEXT NOT NULL, -- empty: unknown
    package       TEXT NOT NULL, -- empty: unknown
    crashes       BIGINT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL,
    PRIMARY KEY (group_id, release, package)
);

-- Which group a signature of addresses belongs to.
CREATE TABLE group_addresses (
    addresses BYTEA NOT NULL PRIMARY KEY,
    group_id  BYTEA NOT NULL REFERENCES crash_groups (id) ON DELETE CASCADE
);

CREATE INDEX group_addresses_by_group ON group_addresses (group_id);

-- Crashes as they look before any stack is walked, and the kept result that answers them.
CREATE TABLE group_answers (
    fingerprint BYTEA NOT NULL PRIMARY KEY,
    group_id    BYTEA NOT NULL REFERENCES crash_groups (id) ON DELETE CASCADE,
    stack       BYTEA NOT NULL, -- names the result
    seen_at     BIGINT NOT NULL
);

CREATE INDEX group_answers_by_group ON group_answers (group_id, seen_at);

CREATE TABLE daily_tasks (
    day          BIGINT NOT NULL,
    release      TEXT NOT NULL,   -- empty: unknown
    architecture TEXT NOT NULL,   -- empty: unknown
    package      TEXT NOT NULL,   -- its name; empty: unknown
    reason       TEXT NOT NULL,   -- empty: success
    bucket       BIGINT NOT NULL, -- of the duration; -1: it never began
    tasks        BIGINT NOT NULL,
    PRIMARY KEY (day, release, architecture, package, reason, bucket)
);

-- Requests that were refused because the queue was full.
CREATE TABLE daily_denials (
    day      BIGINT NOT NULL PRIMARY KEY,
    requests BIGINT NOT NULL
);

CREATE TABLE missing_build_ids (
    build_id     BYTEA NOT NULL,
    role         BIGINT NOT NULL, -- 0: executable, 1: debuginfo
    path         TEXT NOT NULL,
    release      TEXT NOT NULL,   -- of the last crash; empty: unknown
    tasks        BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    PRIMARY KEY (build_id, role)
);

CREATE INDEX missing_build_ids_frequent ON missing_build_ids (tasks);
CREATE INDEX missing_build_ids_unseen ON missing_build_ids (last_seen_at);

-- Packages that retraces took files from.
CREATE TABLE required_packages (
    name    TEXT NOT NULL,
    version TEXT NOT NULL,
    tasks   BIGINT NOT NULL,
    PRIMARY KEY (name, version)
);

-- The plugins of each worker, as it said last: the server has none.
CREATE TABLE worker_plugins (
    worker        TEXT NOT NULL,
    plugin        TEXT NOT NULL,   -- its id; for one that does not serve, the name of its file
    version       TEXT NOT NULL,
    sha256        BYTEA,
    state         TEXT NOT NULL,
    distributions TEXT NOT NULL,   -- JSON
    message       TEXT,            -- why it does not serve
    reported_at   BIGINT NOT NULL,
    PRIMARY KEY (worker, plugin)
);
