"""The smallest queue with the guarantees a scheduler needs, in plain SQL: the ceiling of what this server can do.

Claim a batch, then finish it with a history row for each: two transactions, because the work lies between them. Run in
processes of its own, which import nothing of the project.
"""

from __future__ import annotations

import multiprocessing
import time

import psycopg

SCHEMA = """
DROP TABLE IF EXISTS raw_task, raw_history;
CREATE TABLE raw_task (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue text NOT NULL DEFAULT 'default',
  priority int NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT now(),
  status smallint NOT NULL DEFAULT 0,
  worker int,
  claimed_at timestamptz,
  attempt int NOT NULL DEFAULT 0,
  payload jsonb NOT NULL DEFAULT '{}') WITH (fillfactor = 70);
CREATE INDEX raw_task_ready ON raw_task (queue, priority DESC, id) WHERE status = 0;
CREATE TABLE raw_history (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_id bigint NOT NULL,
  attempt int NOT NULL,
  outcome smallint NOT NULL,
  claimed_at timestamptz,
  finished_at timestamptz NOT NULL DEFAULT now(),
  result jsonb)"""
FILL = "INSERT INTO raw_task (payload) SELECT '{}' FROM generate_series(1, %s)"
CLAIM = """
WITH ready AS MATERIALIZED (
  SELECT id FROM raw_task
   WHERE queue = 'default' AND status = 0 AND due_at <= now()
   ORDER BY priority DESC, id
   LIMIT %s FOR UPDATE SKIP LOCKED)
UPDATE raw_task t SET status = 1, worker = 1, claimed_at = now(), attempt = attempt + 1
  FROM ready WHERE t.id = ready.id
RETURNING t.id, t.attempt, t.payload"""
FINISH = """
WITH done AS (
  UPDATE raw_task SET status = 2 WHERE id = ANY(%s) AND status = 1 RETURNING id, attempt, claimed_at)
INSERT INTO raw_history (task_id, attempt, outcome, claimed_at) SELECT id, attempt, 0, claimed_at FROM done"""


def fill(url: str, tasks: int) -> None:
    """A fresh queue of ``tasks``, settled."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute(FILL, [tasks])
        connection.execute("VACUUM ANALYZE raw_task")
        connection.execute("CHECKPOINT")


def drive(url: str, *, batch: int, clients: int, seconds: float) -> float:
    """Tasks a second of ``clients`` processes together, over ``seconds`` or until none is left."""
    context = multiprocessing.get_context("spawn")
    start_at = time.time() + 2 + clients
    with context.Pool(clients) as pool:
        ends = pool.starmap(client, [(url, batch, start_at, seconds)] * clients, chunksize=1)
    return sum(done for done, _ in ends) / (max(end for _, end in ends) - start_at)


def client(url: str, batch: int, start_at: float, seconds: float) -> tuple[int, float]:
    """One client; returns how many tasks it ended, and when it stopped."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        connection.execute("SELECT count(*) FROM raw_history")
        time.sleep(max(0.0, start_at - time.time()))
        done = 0
        while time.time() < start_at + seconds:
            ids = [row[0] for row in connection.execute(CLAIM, [batch])]
            if not ids:
                break
            connection.execute(FINISH, [ids])
            done += len(ids)
        return done, time.time()
