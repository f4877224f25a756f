-- Who syncs a repository, and until when: null while nobody does.
ALTER TABLE repositories ADD COLUMN lock_owner TEXT;
ALTER TABLE repositories ADD COLUMN lock_expires_at BIGINT;
