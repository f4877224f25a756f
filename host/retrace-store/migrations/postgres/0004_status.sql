-- What `retrace mirror status` tells beside the index itself.

-- Files with build-ids of the repository: counting them takes a second for each million.
ALTER TABLE repositories ADD COLUMN build_ids BIGINT NOT NULL DEFAULT 0;
UPDATE repositories SET build_ids = counted.files FROM (
    SELECT p.repository_id AS id, count(*) AS files FROM build_ids b CROSS JOIN packages p WHERE p.id = b.owner >> 2
    GROUP BY p.repository_id
) counted WHERE counted.id = repositories.id;

-- Repositories whose last sync failed; one that was never registered has no row elsewhere.
CREATE TABLE sync_failures (
    release      TEXT NOT NULL,
    architecture TEXT NOT NULL,
    name         TEXT NOT NULL,
    since        BIGINT NOT NULL, -- first failure without a success after it
    failed_at    BIGINT NOT NULL, -- last one
    message      TEXT NOT NULL,
    PRIMARY KEY (release, architecture, name)
);
