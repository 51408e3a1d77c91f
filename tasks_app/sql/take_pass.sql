-- Take the assignment pass for this transaction, or mark it as taken by somebody else, without waiting.
--
-- A statement of its own: in one statement with the counting, the snapshot is older than the lock and two passes
-- overshoot the limits. The answer is left in a transaction-local setting, so that the statements sent behind this one
-- in the same pipeline can look at it. The row lock dies with the transaction, however its scheduler dies.
WITH held AS MATERIALIZED (SELECT 1 FROM scheduler_pass WHERE name = 'assign' FOR UPDATE SKIP LOCKED)
SELECT set_config('scheduler.pass', CASE WHEN EXISTS (SELECT FROM held) THEN 'held' ELSE 'elsewhere' END, true) = 'held'
