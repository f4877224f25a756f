-- The index in its small form: what is said often is said once and named by a number.

-- Names of packages and sources, architectures, folders.
CREATE TABLE names (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- What one build of a source package has in common.
CREATE TABLE builds (
    id          INTEGER PRIMARY KEY,
    source_id   INTEGER NOT NULL REFERENCES names (id),
    source_form INTEGER NOT NULL, -- 0: the metadata names no source, the name is the package's; 1: the name;
                                  -- 2: <name>-<version>-<release>.src.rpm
    epoch       INTEGER,
    version     TEXT NOT NULL,
    release     TEXT
);

CREATE INDEX builds_by_source ON builds (source_id);

ALTER TABLE packages RENAME TO old_packages;
DROP INDEX packages_by_name;

CREATE TABLE packages (
    id              INTEGER PRIMARY KEY,
    repository_id   INTEGER NOT NULL REFERENCES repositories (id),
    name_id         INTEGER NOT NULL REFERENCES names (id),
    build_id        INTEGER NOT NULL REFERENCES builds (id),
    arch_id         INTEGER NOT NULL REFERENCES names (id),
    folder_id       INTEGER NOT NULL REFERENCES names (id), -- of its location, with the last slash
    file            TEXT,             -- name of its file, where it is not what the format's convention says
    kind            INTEGER NOT NULL, -- 0: binary, 1: debuginfo, 2: debugsource, 3: source, 4: in `other`
    format          INTEGER NOT NULL, -- 0: rpm, 1: deb, 2: in `other`
    other           TEXT,             -- [kind, format] as JSON
    size_bytes      INTEGER,
    sha256          BLOB,             -- as the metadata says
    exact_depends   TEXT,             -- [["name", "version"], …]; null: none
    complete        INTEGER NOT NULL, -- 1: every build-id of the package is in build_ids
    upstream        INTEGER NOT NULL, -- 1: the newest metadata lists it
    local_sha256    BLOB,
    local_bytes     INTEGER,
    local_signature TEXT              -- SignatureState as JSON
);

INSERT OR IGNORE INTO names (name)
SELECT arch FROM old_packages UNION
SELECT rtrim(location, replace(location, '/', '')) FROM old_packages UNION
SELECT name FROM old_packages UNION
SELECT source FROM old_packages WHERE source IS NOT NULL;

INSERT INTO builds (source_id, source_form, epoch, version, release)
SELECT DISTINCT n.id, o.source IS NOT NULL, o.epoch, o.version, o.release
FROM old_packages o JOIN names n ON n.name = coalesce(o.source, o.name) ORDER BY n.id;

INSERT INTO packages
SELECT o.id, o.repository_id, n.id,
    (SELECT b.id FROM builds b JOIN names s ON s.id = b.source_id
     WHERE s.name = coalesce(o.source, o.name) AND b.source_form = (o.source IS NOT NULL)
         AND b.epoch IS o.epoch AND b.version = o.version AND b.release IS o.release),
    a.id, f.id, substr(o.location, length(f.name) + 1),
    CASE o.kind WHEN '"binary"' THEN 0 WHEN '"debug-info"' THEN 1 WHEN '"debug-source"' THEN 2 WHEN '"source"' THEN 3 ELSE 4 END,
    CASE o.format WHEN '"rpm"' THEN 0 WHEN '"deb"' THEN 1 ELSE 2 END,
    CASE WHEN o.kind IN ('"binary"', '"debug-info"', '"debug-source"', '"source"') AND o.format IN ('"rpm"', '"deb"')
         THEN NULL ELSE '[' || o.kind || ',' || o.format || ']' END,
    o.size_bytes, o.sha256, nullif(o.exact_depends, '[]'), o.complete, o.upstream,
    o.local_sha256, o.local_bytes, o.local_signature
FROM old_packages o
JOIN names n ON n.name = o.name
JOIN names a ON a.name = o.arch
JOIN names f ON f.name = rtrim(o.location, replace(o.location, '/', ''));

CREATE INDEX packages_by_name ON packages (repository_id, name_id);
CREATE INDEX packages_by_build ON packages (build_id);
CREATE INDEX packages_unscanned ON packages (repository_id, id) WHERE complete = 0;

ALTER TABLE build_ids RENAME TO old_build_ids;

CREATE TABLE build_ids (
    build_id BLOB NOT NULL,
    owner    INTEGER NOT NULL, -- package's id * 4 + role (0: executable, 1: debuginfo) + 2 if its path is derived
    path     TEXT NOT NULL,    -- empty: the metadata names only the build-id, or the path is derived from it
    PRIMARY KEY (build_id, owner, path)
) WITHOUT ROWID;

INSERT INTO build_ids
SELECT build_id, package_id * 4 + role + 2 * derived, CASE WHEN derived THEN '' ELSE path END FROM (
    SELECT build_id, package_id, role, path, path = CASE role
        WHEN 0 THEN '/usr/lib/.build-id/' || substr(hex, 1, 2) || '/' || substr(hex, 3)
        ELSE '/usr/lib/debug/.build-id/' || substr(hex, 1, 2) || '/' || substr(hex, 3) || '.debug' END AS derived
    FROM (SELECT *, lower(hex(build_id)) AS hex FROM old_build_ids)
) ORDER BY build_id;

DROP TABLE old_build_ids;
DROP TABLE old_packages;

-- Which package owns a path. The path is its digest (see `PathKey`): SQL cannot make those, so that the old rows are
-- converted when the store is opened.
ALTER TABLE paths RENAME TO old_paths;

CREATE TABLE paths (
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    path          INTEGER NOT NULL,
    name_id       INTEGER NOT NULL REFERENCES names (id),
    PRIMARY KEY (repository_id, path, name_id)
) WITHOUT ROWID;

-- A package with everything that is named by a number.
CREATE VIEW indexed_packages AS
SELECT p.id, p.repository_id, n.name, b.epoch, b.version, b.release, a.name AS arch, s.name AS source_name, b.source_form,
    f.name AS folder, p.file, p.kind, p.format, p.other, p.size_bytes, p.sha256, p.exact_depends, p.complete, p.upstream,
    p.local_sha256, p.local_bytes, p.local_signature
FROM packages p
JOIN names n ON n.id = p.name_id
JOIN builds b ON b.id = p.build_id
JOIN names s ON s.id = b.source_id
JOIN names a ON a.id = p.arch_id
JOIN names f ON f.id = p.folder_id;
