-- Packages whose bytes changed under their name. The known file stays in the index; what was offered is not taken.
CREATE TABLE incidents (
    repository_id  BIGINT NOT NULL REFERENCES repositories (id),
    package        TEXT NOT NULL,   -- name-[epoch:]version[-release].arch
    location       TEXT NOT NULL,   -- of what was offered
    kind           TEXT NOT NULL,   -- changed, re-signed
    known_sha256   TEXT,
    known_bytes    BIGINT,
    offered_sha256 TEXT,
    offered_bytes  BIGINT,
    finding        TEXT,            -- what a comparison of both gave; null: there was none
    first_seen_at  BIGINT NOT NULL,
    last_seen_at   BIGINT NOT NULL,
    PRIMARY KEY (repository_id, package, location)
);
