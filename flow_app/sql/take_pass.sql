-- Take the assignment pass for this transaction, or mark it as taken by somebody else, without waiting. When it began
-- comes with it.
--
-- A statement of its own: in one statement with the counting, the snapshot is older than the lock and two passes
-- overshoot the limits. The result is left in a transaction-local setting, so that the statements sent behind this one
-- in the same pipeline can look at it. The row lock dies with the transaction, however its scheduler dies.
--
-- The pass does not wait for the disk: nobody acts on an assignment but the start that follows it in the log, and that
-- one waits. A server that crashes in between has the tasks waiting again, as if the pass had not been made.
WITH held AS MATERIALIZED (SELECT 1 FROM scheduler_pass WHERE name = 'assign' FOR UPDATE SKIP LOCKED)
SELECT set_config('synchronous_commit', 'off', true),
       set_config('scheduler.pass', CASE WHEN EXISTS (SELECT FROM held) THEN 'held' ELSE 'elsewhere' END, true) = 'held',
       now()::text
