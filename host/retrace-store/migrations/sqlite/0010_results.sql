-- Folder of the results that count, below the task's among the artifacts: each try writes into one of its own, and only the
-- one that finishes the task makes its folder the task's. Null: there are none, or they lie in the task's folder itself, as
-- they did before.
ALTER TABLE tasks ADD COLUMN results TEXT;
