-- Packages that the server wants fetched, because a debuginfod client asked for a file of theirs. Times are milliseconds since
-- the Unix epoch.
CREATE TABLE package_wishes (
    package_id    BIGINT NOT NULL,
    build_id      TEXT NOT NULL,   -- empty: the package itself; else the package of the program with this build-id, of which
                                   -- package_id is the debug package
    wished_at     BIGINT NOT NULL, -- last
    lease_owner   TEXT,
    lease_expires BIGINT,
    finished_at   BIGINT,          -- null: open
    failure       TEXT,            -- why the package cannot be had; null if it can
    PRIMARY KEY (package_id, build_id)
);
