"""Mutants of output while it runs: what is held, cut and masked, stored and read, and what waits for it."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_KEEPER: Final = "integration/engine/test_output_keeper.py"
_TABLE: Final = "integration/engine/test_task_output.py"
_API: Final = "integration/test_api_output.py"

OUTPUT: Final[list[Mutant]] = [
    *mutants_of(
        "output",
        "tasks_app/executors/emitting.py",
        "unit/test_emitting.py",
        ("bound", 66, "while self._tail_size > self._held and len(self._tail) > 1:", "while False:"),
        ("head", 66, "if whole and size <= self._head_left", "if False and size <= self._head_left"),
        ("over", 66, "            if self._closed:\n                return\n", ""),
        ("count", 66, "self._dropped += len(old.data)", "self._dropped += 0"),
    ),
    *mutants_of(
        "output",
        "tasks_app/executors/chunks.py",
        "unit/test_chunks.py",
        ("line", 66, 'end = max(data.rfind(b"\\n"), data.rfind(b"\\r")) + 1', "end = len(data)"),
        ("mask", 66, "return mask_output(text, MASK)", "return text"),
        ("given", 66, "            text = text.replace(secret, MASK)\n", "            pass\n"),
        ("cut", 66, 'line.data, line.cut = b"", True', 'line.data = b""'),
        ("where", 66, "_last_separator(data, end) or _whole_characters(data)", "_whole_characters(data)"),
        (
            "nul",
            66,
            'part.decode("utf-8", "replace").replace("\\0", "\\ufffd")',
            'part.decode("utf-8", "replace")',
        ),
    ),
    *mutants_of(
        "output",
        "workers_app/processes/output_keeper.py",
        _KEEPER,
        ("sooner", 66, "(not kept.is_stored and now < kept.due_at)", "False"),
        ("early", 66, "and now >= kept.due_at)", ")"),
        ("behind", 66, "            self._wake.set()\n        else:", "            self._put(ending)\n        else:"),
        ("again", 66, "if not self._round.chunks and not self._round.ended:", "if True:"),
        ("waited", 66, "now - kept.ended_at >= END_WITHIN", "now == float('inf')"),
        ("tail", 66, "while self.tail_size > limit:", "while False:"),
        ("share", 66, "else share)", "else 2 * self._limit)"),
        (
            "defect",
            66,
            'except Exception:\n            log.exception("output_failed',
            'except psycopg.Error:\n            log.exception("output_failed',
        ),
        (
            "uncut",
            66,
            'except Exception:\n            log.exception("output_lost',
            'except psycopg.Error:\n            log.exception("output_lost',
        ),
        ("statement", 66, "if made.size > STATEMENT:", "if False:"),
    ),
    *mutants_of(
        "output",
        "tasks_app/sql/store_output.sql",
        _TABLE,
        ("twice", 66, "      ON CONFLICT DO NOTHING\n", ""),
        ("fence", 66, " AND t.started_at = c.started_at)", ")"),
        ("later", 66, "WHERE t.attempt > c.attempt OR (t.attempt = c.attempt AND", "WHERE (true OR"),
        ("trim", 66, "AND o.attempt = g.attempt AND", "AND"),
    ),
    *mutants_of(
        "output",
        "tasks_app/task_output.py",
        _TABLE,
        ("gap", 66, "max(0, row.seq - row.size - before)", "0"),
        ("full", 66, "not is_full and _is_over", "_is_over", f"{_API}::TestPages"),
        ("latest", 66, "return attempt < row.latest or", "return"),
    ),
    *mutants_of(
        "output",
        "tasks_app/api/output.py",
        _API,
        ("left-out", 66, "start = Cursor(part.attempt, part.seq - part.size)", "start = part.cursor"),
        ("leave", 66, "        self._following.leave(self._follower)", "        pass"),
        ("search", 66, "    if ask.term:\n        raise", "    if False:\n        raise"),
    ),
    *mutants_of(
        "output",
        "scheduler_project/web/bridge.py",
        "integration/test_web_slow.py::TestStreams",
        ("woken", 66, "self._loop.call_soon_threadsafe(self._woken.set)", "pass"),
        ("leaving", 66, "            elif self._leaving:\n                break\n", ""),
        ("unsent", 66, "calling.add_done_callback(self._let_go_unsent)", "pass", "unit/test_bridge.py"),
    ),
    *mutants_of(
        "output",
        "tasks_app/following.py",
        _API,
        ("most", 66, "if len(self._followers) >= most:", "if False:"),
        (
            "outlived",
            66,
            "            except Exception as error:",
            "            except (DatabaseAway, Error) as error:",
            "unit/test_following.py",
        ),
    ),
]
