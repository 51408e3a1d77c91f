"""Mutants of freezes: what they hold, what they wait for, and who comes back."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_FLOW: Final = "flow_app/sql"
_FILE: Final = "integration/engine/test_freezes.py"
_FREEZE: Final = f"{_FILE}::TestFreeze"
_STARTS: Final = f"{_FILE}::TestLockFrozen"
_PASSES: Final = f"{_FILE}::TestRacesWithPasses"
_PARKED: Final = f"{_FILE}::TestParkFrozen"
_TIME: Final = f"{_FILE}::TestEndDueFreezes"
_RELEASE: Final = f"{_FILE}::TestReleaseFrozen"
_THAW: Final = f"{_FILE}::TestThaw"
_HOLDS_PASS: Final = '        SchedulerPass.objects.select_for_update().get(name="assign")\n'
_COVERED: Final = "     AND (NOT %(frozen)s::boolean OR is_frozen(t.queue, t.type, t.target))\n"
_HELD: Final = (
    "     AND (t.type = ANY((SELECT types FROM held)::text[]) OR t.target = ANY((SELECT targets FROM held)::text[]))\n"
)
_ENDS: Final = "CASE WHEN bool_and(f.until IS NOT NULL) THEN max(f.until) END"

FREEZES: Final[list[Mutant]] = [
    *mutants_of(
        "freeze",
        "flow_app/freezes.py",
        _FREEZE,
        ("waits-for-starts", 68, "        lock_frozen()\n", "", _STARTS),
        ("takes-back", 68, "hand_back_assigned(frozen=True, ", 'hand_back_assigned(frozen=True, key="none", '),
        ("holds-pass", 68, f"{_HOLDS_PASS}        named =", "        named =", _PASSES),
        ("over", 68, "Freeze.objects.filter(pk=pk).update(created_at=_CLOCK)", "pass", _STARTS),
        ("narrow-goes-on", 68, "None if before.types or before.targets else Now()", "Now()", _RELEASE),
        ("rate-of-queues", 68, "if rate is not None and before.thawed_at is None:", "if False:", _THAW),
    ),
    *mutants_of(
        "freeze-pass",
        "flow_app/freezing.py",
        _PARKED,
        ("candidates", 68, "if held else candidates", "if False else candidates", _FREEZE),
        ("firsts", 68, "if not (held := self._held(firsts_of(keys))):", "if True:"),
        ("more-to-do", 68, "        self.parked += len(held)\n", ""),
    ),
    *mutants_of(
        "freeze-seen",
        f"{_FLOW}/count_room.sql",
        _FREEZE,
        ("narrow", 68, "WHERE types <> '{}' OR targets <> '{}' LIMIT 1", "WHERE types <> '{}' LIMIT 1"),
    ),
    *mutants_of(
        "freeze-park",
        f"{_FLOW}/park_frozen.sql",
        _PARKED,
        ("ahead", 68, "SELECT id FROM frozen UNION SELECT id FROM ahead", "SELECT id FROM frozen"),
        ("others", 68, f"     AND t.gate IN (0, 1, 4, 6)\n{_HELD}     FOR NO KEY", "     FOR NO KEY"),
    ),
    *mutants_of(
        "freeze-wait",
        f"{_FLOW}/lock_frozen.sql",
        _STARTS,
        ("waits", 68, "   FOR NO KEY UPDATE OF t", "   FOR NO KEY UPDATE OF t SKIP LOCKED"),
    ),
    *mutants_of(
        "freeze-hand-back",
        f"{_FLOW}/hand_back_assigned.sql",
        _FREEZE,
        ("only-frozen", 68, _COVERED, ""),
    ),
    *mutants_of(
        "thaw",
        f"{_FLOW}/release_frozen.sql",
        _RELEASE,
        ("keeps-others", 68, "   WHERE NOT is_frozen(s.type, s.target)\n     AND CASE", "   WHERE CASE"),
        ("tokens", 68, "WHERE number <= coalesce((SELECT tokens FROM thaw), %(limit)s)", "WHERE true"),
        ("over", 68, " AND m.all_seen AND m.met = 0 AS over", " AND m.all_seen AS over"),
        ("clean", 68, "%(clean)s::boolean AND m.all_seen", "m.all_seen"),
        (
            "charged",
            68,
            "SET thaw_full_at = t.full_at + rate_span(d.opened, t.thaw_limit, t.thaw_period),",
            "SET thaw_full_at = t.full_at,",
        ),
    ),
    *mutants_of(
        "freeze-time",
        f"{_FLOW}/end_due_freezes.sql",
        _TIME,
        ("holds-pass", 68, " AND current_setting('scheduler.pass', true) = 'held'", "", _PASSES),
    ),
    *mutants_of(
        "freeze-row",
        f"{_FLOW}/freeze_queues.sql",
        f"{_FILE}::TestFreezeQueues",
        ("last-end", 68, _ENDS, _ENDS.replace("max", "min")),
        ("no-end", 68, _ENDS, "max(f.until)"),
        (
            "others",
            68,
            "LEFT JOIN open_freezes f ON n.name = ANY(f.queues)",
            "LEFT JOIN open_freezes f ON false",
            _TIME,
        ),
    ),
    *mutants_of(
        "freeze-view",
        "flow_app/migrations/0001_initial.py",
        _FREEZE,
        ("queues", 68, "    OR frozen AND (frozen_until IS NULL OR frozen_until > now());", ";"),
        ("ends", 68, "    OR frozen AND (frozen_until IS NULL OR frozen_until > now());", "    OR frozen;", _TIME),
        ("time", 68, " AND thawed_at IS NULL AND (until IS NULL OR until > now());", " AND thawed_at IS NULL;", _TIME),
        ("thawed", 68, "AND thawed_at IS NULL AND (until IS NULL", "AND (until IS NULL"),
    ),
    *mutants_of(
        "freeze-key",
        "tasks_app/migrations/0001_initial.py",
        _PARKED,
        ("next", 68, "NEW.gate IN (2, 3, 5, 7)", "NEW.gate IN (2, 3, 5)"),
    ),
    *mutants_of(
        "freeze-burst",
        f"{_FLOW}/anything_due.sql",
        "integration/engine/test_assignment_gates.py",
        ("waits", 68, "gate IN (4, 5, 6)", "gate IN (4, 5, 6, 7)"),
    ),
    *mutants_of(
        "freeze-sweep",
        "flow_app/thawing.py",
        _STARTS,
        ("held-ones", 68, "if any(not each.thawed for each in going):", "if False:"),
        ("told", 68, "        self.outlook.frozen |= any(", "        any(", _THAW),
        (
            "queues",
            68,
            '                session.send("freeze_queues", {"names": names})',
            "                pass",
            _TIME,
        ),
    ),
    *mutants_of(
        "freeze-demand",
        "flow_app/demand.py",
        "integration/test_demand.py",
        ("queue", 68, "    if queue.is_frozen:\n", "    if False:\n"),
        ("unparked", 68, "measure_unparked(looked_at, horizon=horizon)", "{}"),
    ),
]
