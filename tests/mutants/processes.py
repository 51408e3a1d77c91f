"""Mutants of the processes: leases, beats, detection, starting, recording, stopping, the guardian."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_ENGINE: Final = "integration/engine"
_WORKER: Final = f"{_ENGINE}/test_worker.py"
_GUARDIAN: Final = f"{_ENGINE}/test_guardian.py"
_SCHEDULER: Final = f"{_ENGINE}/test_scheduler.py"

PROCESSES: Final[list[Mutant]] = [
    *mutants_of(
        "detector",
        "workers_app/recovery.py",
        f"unit/test_failure_detector.py {_SCHEDULER}::TestHousekeeper {_ENGINE}/test_recovery.py",
        ("session", 12, "if epoch != self._epoch:", "if False:"),
        ("beat", 9, " and seen[0] == beat else", " else"),
        ("lease", 5, "now - since >= self._timeout", "now - since >= self._timeout / 2"),
        ("mark", 9, "heartbeats.mark_dead(session, worker_id, beat=beat)", "heartbeats.mark_dead(session, worker_id)"),
        ("watched", 9, "if beats.get(worker_id) == beat}", "if worker_id in beats}"),
    ),
    *mutants_of(
        "session",
        "tasks_app/sessions.py",
        f"{_ENGINE}/test_sessions.py",
        ("epoch", 12, "            self.epoch += 1\n", ""),
        ("away", 12, "            self.close()\n            return DatabaseAway", "            return DatabaseAway"),
    ),
    *mutants_of(
        "lease",
        "workers_app/processes/lease.py",
        "unit/test_lease.py",
        ("margin", 5, "(timeout - margin)", "timeout"),
        ("over", 10, "            return not self._ended", "            return True"),
        ("over-too", 10, "return 0.0 if self._ended else max", "return max"),
        ("old-beat", 5, "max(self._sent, sent)", "sent"),
        ("late", 5, "max(self._sent, sent)", "now()"),
    ),
    *mutants_of(
        "heartbeat",
        "workers_app/processes/heartbeat.py",
        f"{_ENGINE}/test_beating.py",
        ("sent", 5, "self._worker.heard(answer, sent)", "self._worker.heard(answer, lease.now())"),
        ("progress", 9, "if part := self._worker.stuck():", "if part := None:"),
        ("disowned", 10, "            self._worker.disowned()\n", ""),
        ("watchdog", 32, "            except Exception:\n", "            except ZeroDivisionError:\n"),
    ),
    *mutants_of(
        "worker",
        "workers_app/processes/worker.py",
        _WORKER,
        ("deadline", 32, "held.execution.stop(StopReason.DEADLINE)", "pass"),
        ("lease", 5, "if not self.fenced and not self.lease.running:", "if False:"),
        ("confirm", 12, "self._guardian.confirm_fenced()", "pass"),
        (
            "last-beat",
            10,
            "        self._heartbeat.close()\n        self._held.stop_all(",
            "        self._held.stop_all(",
        ),
        (
            "drop-work",
            5,
            "        self._held.stop_all(StopReason.RELEASE, immediate=True)\n        self.pipe.wake()",
            "        self.pipe.wake()",
        ),
        ("overdue", 9, 'return "executor" if self._held.past_deadline(by=OVERDUE) else None', "return None"),
        ("starter", 9, 'return "starter"', "return None"),
        ("recorder", 9, 'return "recorder"', "return None"),
        ("slots", 8, "limit = min(free, MAX_START)", "limit = MAX_START"),
        ("adopt", 12, "self._missing = 2  #", "self._missing = 0  #"),
        ("adopt-by-beat", 12, "self._missing + 1 if answer.running > len(self._held) else 0", "0"),
        ("begin", 5, "alive = self.lease.running\n", "alive = True\n"),
        ("start", 5, "if not self._may_have_more or not self.lease.running:", "if not self._may_have_more:"),
        (
            "hand-back",
            29,
            'assignment.hand_back_assigned(self._session, worker_id=self.id, reason="its worker drains")',
            "pass",
        ),
        ("drain", 29, "if answer.state == WorkerState.DRAINING and not self.stopping:", "if False:"),
        ("cancel", 16, "self._held.stop(task_id, StopReason.CANCEL)", "pass"),
        ("drop", 5, "self._held.stop(task_id, StopReason.RELEASE)", "pass"),
        ("guardian", 5, "            self._guardian.beat(sent)\n        for", "            pass\n        for"),
        ("registered", 5, "config.lease_margin, since=sent)", "config.lease_margin)"),
        (
            "release",
            29,
            "self._held.stop_all(StopReason.RELEASE, immediate=True)\n        self._await_idle(time.monotonic() + 2",
            "self._await_idle(time.monotonic() + 2",
        ),
        (
            "second-signal-wait",
            29,
            "self._await_idle(end - min(STOP_RESERVE, grace / 2), until_signals=2)",
            "self._await_idle(end - min(STOP_RESERVE, grace / 2), until_signals=9)",
        ),
    ),
    *mutants_of(
        "held",
        "workers_app/processes/held.py",
        "unit/test_held.py",
        ("attempt", 7, " and held.attempt.attempt == attempt", ""),
        ("ended", 8, "if not held.ended]", "if held]"),
    ),
    *mutants_of(
        "recorder",
        "workers_app/recorder.py",
        f"{_ENGINE}/test_recorder.py unit/test_recorder.py",
        ("again", 1, "time.sleep(backoff(self._failures))", "return"),
        ("late", 7, "            self._keep_late(late)\n", "            pass\n"),
        ("culprit", 1, "            self._apart(batch, error, self._finish)\n            return", "            raise"),
        ("begun", 18, "begun=not (outcome.status is ExecutionStatus.RELEASED and outcome.retryable)", "begun=True"),
        (
            "unreadable",
            32,
            "    except Exception as error:\n        log.exc",
            "    except ZeroDivisionError as error:\n        log.exc",
        ),
    ),
    *mutants_of(
        "runner",
        "workers_app/runner.py",
        "unit/test_runner.py",
        ("stopped-before", 16, "if execution.stop_reason is not None:  # told before", "if False:  # told before"),
        ("raised", 32, "    except BaseException as error:", "    except ZeroDivisionError as error:"),
        ("stopped", 16, "        if execution.stop_reason is not None:\n", "        if False:\n"),
    ),
    *mutants_of(
        "guardian",
        "workers_app/processes/guardian.py",
        _GUARDIAN,
        ("orphans", 30, "        kill_descendants()\n        if status != 0:", "        if status != 0:"),
        ("frozen", 5, "if last_beat is not None and not confirmed:", "if False:"),
        ("margin", 5, "(config.heartbeat_timeout - config.lease_margin / 2)", "(config.heartbeat_timeout * 2)"),
        ("confirmed", 12, "if last_beat is not None and not confirmed:", "if last_beat is not None:"),
        ("mark", 9, "if heartbeats.mark_dead(session, worker_id):", "if False:"),
        ("move-on", 9, "if rows := recovery.recover_lost_tasks(session):", "if rows := []:"),
        ("die-with-me", 5, "            die_with_parent(signal.SIGKILL)\n", ""),
        (
            "incarnation",
            10,
            "        worker_id = uuid4()\n",
            '        worker_id = self.__dict__.setdefault("_only", uuid4())\n',
        ),
        ("third-signal", 29, "if self._passed_on > 2:", "if False:"),
        ("patience", 29, "rests.append(self._stop_since + self._grace + 5 - time.monotonic())", "pass"),
        ("subreaper", 30, "        adopt_orphans(adopt=True)\n", ""),
    ),
    *mutants_of(
        "scheduler",
        "workers_app/processes/scheduler.py",
        _SCHEDULER,
        ("frozen", 27, '"scheduler", idle_in_transaction_session_timeout="2000")', '"scheduler")'),
        ("idle-keys", 24, '            Chore("idle_keys_released", IDLE_KEYS_EVERY, self._release_idle_keys),\n', ""),
        ("chores", 26, "        except Exception:\n", "        except KeyError:\n"),
        ("recover", 9, "if has_lost_tasks or marked:", "if marked:"),
    ),
]
