-- Times are milliseconds since the Unix epoch. Digests and build-ids are raw bytes.

CREATE TABLE repositories (
    id           INTEGER PRIMARY KEY,
    release      TEXT NOT NULL,
    architecture TEXT NOT NULL,
    name         TEXT NOT NULL,
    spec         TEXT NOT NULL, -- RepositorySpec as JSON
    keys         TEXT NOT NULL, -- armoured keys that verified it
    revision     TEXT,          -- what the metadata said it was when it was last read
    synced_at    INTEGER,
    UNIQUE (release, architecture, name)
);

CREATE TABLE packages (
    id              INTEGER PRIMARY KEY,
    repository_id   INTEGER NOT NULL REFERENCES repositories (id),
    name            TEXT NOT NULL,
    epoch           INTEGER,
    version         TEXT NOT NULL,
    release         TEXT,
    arch            TEXT NOT NULL,
    kind            TEXT NOT NULL, -- PackageKind as JSON
    format          TEXT NOT NULL, -- PackageFormat as JSON
    location        TEXT NOT NULL,
    size_bytes      INTEGER,
    sha256          BLOB,          -- as the metadata says
    source          TEXT,
    exact_depends   TEXT NOT NULL, -- [["name", "version"], …]
    complete        INTEGER NOT NULL, -- 1: every build-id of the package is in build_ids
    upstream        INTEGER NOT NULL, -- 1: the newest metadata lists it
    local_sha256    BLOB,
    local_bytes     INTEGER,
    local_signature TEXT,          -- SignatureState as JSON
    UNIQUE (repository_id, location)
);

CREATE INDEX packages_by_name ON packages (name);

CREATE TABLE build_ids (
    build_id   BLOB NOT NULL,
    package_id INTEGER NOT NULL REFERENCES packages (id),
    role       INTEGER NOT NULL, -- 0: executable, 1: debuginfo
    path       TEXT NOT NULL,    -- empty: the metadata names only the build-id
    PRIMARY KEY (build_id, package_id, role, path)
) WITHOUT ROWID;

-- Which package owns a path, where the metadata names no build-ids (Debian's Contents).
CREATE TABLE paths (
    path          TEXT NOT NULL,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    package       TEXT NOT NULL,
    PRIMARY KEY (path, repository_id, package)
) WITHOUT ROWID;

-- The queue: a task waits while it is submitted, not finished and not leased.
CREATE TABLE tasks (
    id               INTEGER PRIMARY KEY,
    kind             INTEGER NOT NULL,
    status           INTEGER NOT NULL,
    password_sha256  BLOB NOT NULL,
    created_at       INTEGER NOT NULL,
    submitted_at     INTEGER, -- null: still being uploaded
    started_at       INTEGER,
    finished_at      INTEGER,
    attempts         INTEGER NOT NULL,
    lease_owner      TEXT,
    lease_expires_at INTEGER,
    message          TEXT -- why it failed
);

CREATE INDEX tasks_unfinished ON tasks (submitted_at, id) WHERE finished_at IS NULL;
