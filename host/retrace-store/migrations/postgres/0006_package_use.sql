-- Which packages retraces used: what a crash referenced is fetched ahead in newer versions, and what is being read is not
-- removed. Times are milliseconds since the Unix epoch.
CREATE TABLE package_use (
    package_id    BIGINT NOT NULL PRIMARY KEY,
    used_at       BIGINT NOT NULL, -- a retrace last read it, or looked into it
    referenced_at BIGINT           -- a core last mapped a file of it; null: never
);

-- Until now packages were fetched because a retrace wanted them; when is not known.
INSERT INTO package_use (package_id, used_at, referenced_at)
SELECT id, 0, 0 FROM packages WHERE local_sha256 IS NOT NULL;

-- Whose copy is this file of the artifact store?
CREATE INDEX packages_by_copy ON packages (local_sha256) WHERE local_sha256 IS NOT NULL;
