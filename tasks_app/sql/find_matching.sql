-- Find the next tasks of a bulk operation that match its filter, %(size)s at most, with their statuses: of those it came
-- upon before and somebody held, %(held)s, and of the next %(window)s tasks by id behind %(position)s and below %(before)s.
-- ``position``: up to where it has looked; NULL: to the end. Locks nothing. A piece looks at a bounded number of rows, however few match,
-- so it is short whatever the planner believes. The condition of the filter stands where the comment says, over a
-- subquery with the name of the table. Indexes: the primary key; tasks_unsuccessful, when only FAILED and CANCELLED ones can match.
WITH met AS MATERIALIZED (
  SELECT tasks.id, tasks.status
    FROM tasks
   WHERE tasks.id = ANY(%(held)s::uuid[]) AND true /* matches */
),
found AS MATERIALIZED (
  SELECT tasks.id, tasks.status
    FROM (SELECT *
            FROM tasks
           WHERE id > %(position)s AND id < %(before)s AND true /* narrow */
           ORDER BY id
           LIMIT %(window)s) AS tasks
   WHERE true /* matches */
   ORDER BY tasks.id
   LIMIT %(size)s
)
SELECT ARRAY(SELECT id FROM met ORDER BY id) || ARRAY(SELECT id FROM found ORDER BY id) AS ids,
       ARRAY(SELECT status FROM met ORDER BY id) || ARRAY(SELECT status FROM found ORDER BY id) AS statuses,
       CASE WHEN (SELECT count(*) FROM found) >= %(size)s
            THEN (SELECT id FROM found ORDER BY id DESC LIMIT 1)
            ELSE (SELECT id
                    FROM tasks
                   WHERE id > %(position)s AND id < %(before)s AND true /* narrow */
                   ORDER BY id
                  OFFSET %(window)s - 1
                   LIMIT 1)
        END AS position
