-- Folder of the results that count, below the task's among the artifacts: each try writes into one of its own, and only the
-- one that finishes the task makes its folder the task's. Null: there are none, or they lie in the task's folder itself, as
-- they did before.
ALTER TABLE tasks ADD COLUMN results TEXT;

-- Who waits for a task is told by the database, whoever changed the row. `retrace_tasks` names each task that somebody may
-- look at anew; `retrace_queue` says that there may be work: a task waits, or a place is free. Heartbeats tell nobody.
CREATE FUNCTION retrace_task_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM pg_notify('retrace_tasks', OLD.id::text), pg_notify('retrace_queue', '');
        RETURN NULL;
    END IF;
    PERFORM pg_notify('retrace_tasks', NEW.id::text);
    IF NEW.finished_at IS NOT NULL OR (NEW.submitted_at IS NOT NULL AND NEW.lease_owner IS NULL) THEN
        PERFORM pg_notify('retrace_queue', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER tasks_added_or_deleted AFTER INSERT OR DELETE ON tasks
    FOR EACH ROW EXECUTE FUNCTION retrace_task_changed();

CREATE TRIGGER tasks_updated AFTER UPDATE ON tasks FOR EACH ROW
    WHEN ((OLD.status, OLD.submitted_at, OLD.started_at, OLD.finished_at, OLD.lease_owner, OLD.attempts, OLD.message)
        IS DISTINCT FROM
        (NEW.status, NEW.submitted_at, NEW.started_at, NEW.finished_at, NEW.lease_owner, NEW.attempts, NEW.message))
    EXECUTE FUNCTION retrace_task_changed();
