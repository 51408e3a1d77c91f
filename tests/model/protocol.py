"""The protocol of assignment, lease, finish and recovery, as a specification that a machine can look through.

Each method of `Protocol` under "What may happen" is one step of the product, named like it, with the same guard. The
file it is taken from stands next to it. Where the product decides something on a locked row, the step is one atomic
change of `Database`; where it sends a statement and waits, request, effect and reply are steps of their own, and
anything may happen between them.

What stands for what:

- **Time** passes in `tick`, for everybody at once, and is only ever measured as an age: of a lease, of a message, of an
  observation. Ages stop growing where they make no further difference. A worker may stand at the end of its lease, but
  time does not go on until its work is dead: that is the watchdog's and the guardian's promise.
- **Beat counters** are compared, never counted: a beat writes a value nobody remembers.
- **A finish** that was sent stays in `sent` for ever. Delivered twice it was duplicated, never again it was lost, after
  its attempt was taken away it is late. How the work went is chosen when the statement arrives.
- **Creation** needs no step: nothing forces a pass, so a task that waits is as good as one that is created later.
- **The observer** is one session of one scheduler. Any number of them would only observe independently.
- **A failover** goes to a standby that has fallen behind at some moment: what was committed since is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from tests.model import properties, symmetry
from tests.model.checker import Step
from tests.model.state import (
    ACTIVE,
    ANSWERED,
    ASKED,
    CANCELLED,
    DEAD,
    DISOWNED,
    DRAINING,
    ENDED,
    EXITED,
    FAILED,
    FENCED,
    GONE,
    LIVE,
    NO_BEAT,
    NOBODY,
    PENDING,
    REGISTERING,
    REPLY,
    REQUEST,
    RUNNING,
    SCHEDULED,
    STOPPED,
    SUCCESS,
    UNSEEN,
    UNSURE,
    UP,
    Beat,
    Body,
    Constants,
    Database,
    Ending,
    Process,
    Row,
    Seen,
    State,
    Task,
    belongs,
    body_of,
    changes,
    end_attempt,
    ending_of,
    exited,
    forgotten,
    gone,
    new_beat,
    runs,
    send,
    stopped,
    unknown,
    write_process,
    write_row,
    write_seen,
    write_task,
)

Steps = Iterator[Step[State]]


class Protocol:
    """The product's protocol. A broken variant overrides one of the guards, or one step."""

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self.usable = self.usable_lease()
        self.all_incarnations = range(constants.hosts * constants.incarnations)
        self.all_tasks = range(constants.tasks)
        # For people: host and incarnation, as in B2.
        self.worker_names = [
            f"{host}{n}" for host in "ABCD"[: constants.hosts] for n in range(1, constants.incarnations + 1)
        ]
        self.task_names = [f"T{task + 1}" for task in self.all_tasks]

    def initial(self) -> State:
        """Every task is created, and nobody is there yet."""
        count = len(self.all_incarnations)
        database = Database((Task(),) * self.constants.tasks, (Row(),) * count)
        return State(database, (Process(),) * count, (UNSEEN,) * count, (), None, 0)

    def steps(self, state: State) -> Steps:
        """Once all tasks have ended, only what could still change them is of interest."""
        over = all(task.status in ENDED for task in state.db.tasks)
        for step in self._database_steps if over else self._all_steps:
            yield from step(state)

    @cached_property
    def _database_steps(self) -> list[Callable[[State], Steps]]:
        failovers = [self.standby_lags, self.fail_over] if self.constants.failovers else []
        return [self.assign, self.start, self.finish, self.recover, self.hand_back, *failovers]

    @cached_property
    def _all_steps(self) -> list[Callable[[State], Steps]]:
        may = self.constants
        return [
            *self._database_steps, self.ask_start, self.begin, self.adopt, self.body_ends,
            self.register, self.beat_arrives, self.beat_answered, self.leave,
            self.guardian_kills, self.guardian_marks,
            *([self.send_beat, self.fence, self.observe, self.look, self.mark_dead, self.tick] if may.clock else []),
            *([self.lose_beat, self.lose_start] if may.losses else []),
            *([self.crash] if may.crashes else []),
            *([self.follow_timeline] if may.failovers else []),
            *([self.session_breaks] if may.breaks else []),
            *([self.cancel] if may.cancels else []),
            *([self.drain, self.release] if may.drains else []),
        ]  # fmt: skip

    # The guards. Each broken variant takes one of them away.

    def may_be_assigned(self, state: State, worker: int) -> bool:
        """count_room.sql: ACTIVE, and its row locked FOR KEY SHARE, so that it stays so until the commit."""
        return state.db.workers[worker].state == ACTIVE

    def may_be_started(self, state: State, worker: int) -> bool:
        """start_assigned.sql: ``me`` is ACTIVE and locked FOR KEY SHARE in the same statement."""
        return state.db.workers[worker].state == ACTIVE

    def knows_the_timeline(self, state: State, worker: int) -> bool:
        """start_assigned.sql, adopt_running.sql: the database is on the timeline that the worker has followed."""
        return state.processes[worker].timeline == state.timeline

    def known(self, state: State, worker: int, body: Body) -> bool:
        """compare_held.sql: the attempt is this worker's, and was not somebody else's before the task came back."""
        return belongs(state, worker, body) and state.db.tasks[body.task].status != SCHEDULED

    def may_ask(self, process: Process) -> bool:
        """worker.py, `tick` and `_start`: after a lost answer it looks what was started before it starts more."""
        return not process.starter

    def fence_holds(self, task: Task, ending: Ending) -> bool:
        """finish_attempts.sql: attempt, worker_id, started_at and status on the locked row."""
        ours = (ending.attempt, ending.worker, ending.started)
        return (task.attempt, task.owner, task.started) == ours and task.status == RUNNING

    def cancelled_meanwhile(self, task: Task) -> bool:
        """finish_attempts.sql: ``cancel_requested_at`` on the locked row."""
        return task.cancelling

    def may_be_handed_back(self, task: Task) -> bool:
        """hand_back_assigned.sql: SCHEDULED, on the locked row."""
        return task.status == SCHEDULED

    def has_not_beaten(self, row: Row, seen: Seen) -> bool:
        """change_worker_state.sql: the counter is still that one, on the locked row."""
        return row.beat == seen.beat

    def remembered(self, seen: tuple[Seen, ...]) -> tuple[Seen, ...]:
        """recovery.py, `FailureDetector`: a new session forgets everything that was seen before."""
        return (UNSEEN,) * len(seen)

    def usable_lease(self) -> int:
        """conf.py, `lease_margin`: work is dropped that much earlier than an observer may say so."""
        return self.constants.lease - self.constants.margin

    def renewed(self, process: Process) -> int:
        """lease.py, `Lease.renew`: the lease counts from the moment the accepted beat was sent."""
        return min(process.age, process.beat.age)

    def first_lease(self, process: Process) -> int:
        """worker.py, `_register`: so does the first lease."""
        return process.beat.age

    def registered_again(self, state: State, worker: int) -> State:
        """register_worker.sql, ON CONFLICT: the first reply was lost; the row has to show that a later one was sent."""
        return write_row(state, worker, state.db.workers[worker]._replace(beat=new_beat(state, worker)))

    def may_leave(self, process: Process) -> bool:
        """worker.py, `_leave`: a worker says that it is dead only when its work is."""
        return not runs(process)

    def may_be_marked(self, process: Process) -> bool:
        """guardian.py, `_run_one`: first everything the worker left behind is killed."""
        return process.life in (EXITED, GONE) and not runs(process)

    # What may happen: tasks

    def assign(self, state: State) -> Steps:
        """One task of a pass: room is counted from the rows, the key index is unique."""
        tasks, room = state.db.tasks, self.constants.slots + self.constants.prefetch
        owned = [task.owner for task in tasks if task.status in (SCHEDULED, RUNNING)]
        if self.constants.shared_key and owned:
            return
        workers = [w for w in self.all_incarnations if state.db.workers[w].state]
        takers = [w for w in workers if owned.count(w) < room and self.may_be_assigned(state, w)]
        for t, task in enumerate(tasks):
            if task.status == PENDING:
                for worker in takers:
                    after = write_task(state, t, task._replace(status=SCHEDULED, owner=worker))
                    yield Step("assign", (self.task_names[t], self.worker_names[worker]), True, after)

    def ask_start(self, state: State) -> Steps:
        """worker.py, `_start`: a free slot and a running lease, then the statement is sent."""
        for w, process in enumerate(state.processes):
            if process.life == UP and self.may_ask(process) and process.age < self.usable:
                free = self.constants.slots - len(process.held)
                assigned = any(task.owner == w and task.status == SCHEDULED for task in state.db.tasks)
                if free > 0 and assigned:
                    yield self._step(state, "ask_start", w, process._replace(starter=ASKED))

    def start(self, state: State) -> Steps:
        """start_assigned.sql, whoever still waits for its answer. The fence grows here and nowhere else."""
        for w, process in enumerate(state.processes):
            if process.starter != ASKED:
                continue
            if not (self.may_be_started(state, w) and self.knows_the_timeline(state, w)):
                yield self._step(state, "start_refused", w, process._replace(starter=""))
                continue
            mine = [t for t, task in enumerate(state.db.tasks) if task.owner == w and task.status == SCHEDULED]
            if not mine:
                yield self._step(state, "start_nothing", w, process._replace(starter=""))
            for t in mine:
                task = state.db.tasks[t]
                started = task._replace(
                    status=RUNNING, attempt=task.attempt + 1, ends=(*task.ends, 0), started=state.timeline
                )
                answered = process._replace(starter=ANSWERED, answer=(body_of(t, started),))
                heard = answered if process.life in (UP, FENCED) else process._replace(starter="")
                after = write_process(write_task(state, t, started), w, heard)
                yield Step("start", (self.worker_names[w], self.task_names[t], started.attempt), True, after)

    def lose_start(self, state: State) -> Steps:
        """The connection breaks; whether anything was started, the worker does not know."""
        for w, process in enumerate(state.processes):
            if process.starter in (ASKED, ANSWERED):
                unsure = UNSURE if process.life in (UP, FENCED) else ""
                yield self._step(state, "lose_start", w, process._replace(starter=unsure, answer=()), fair=False)

    def adopt(self, state: State) -> Steps:
        """adopt_running.sql, asked by the one thread that starts: RUNNING rows of mine that I do not hold."""
        for w, process in enumerate(state.processes):
            if process.life == UP and process.starter in ("", UNSURE):
                lost = unknown(state, w) if self.knows_the_timeline(state, w) else ()
                if lost:
                    yield self._step(state, "adopt", w, process._replace(starter=ANSWERED, answer=lost))
                elif process.starter:
                    yield self._step(state, "adopt_nothing", w, process._replace(starter=""))

    def follow_timeline(self, state: State) -> Steps:
        """worker.py, `_follow_timeline`: what the new primary does not know is dropped, and must be gone before
        anything starts there. What it says runs here, but is not held, may have ended before: it is given back.
        """
        for w, process in enumerate(state.processes):
            if process.life == UP and process.starter in ("", UNSURE) and process.timeline != state.timeline:
                after = state
                lost = [body for body in process.held if not self.known(state, w, body)]
                for body in lost:
                    if body.runs:
                        after = stopped(after, w, body, released=True)
                for body in unknown(state, w):
                    after = self.hold(after, w, body._replace(runs=False))
                if not lost:
                    followed = after.processes[w]._replace(timeline=state.timeline, starter="")
                    after = write_process(after, w, followed)
                yield Step("follow_timeline", (self.worker_names[w],), True, after)

    def begin(self, state: State) -> Steps:
        """worker.py, `_begin`: the answer is here; without a running lease the attempts end before they begin."""
        for w, process in enumerate(state.processes):
            if process.starter == ANSWERED and process.life in (UP, FENCED):
                alive = process.life == UP and process.age < self.usable
                after = write_process(state, w, process._replace(starter="", answer=()))
                for body in process.answer:
                    after = self.hold(after, w, body._replace(runs=alive))
                yield Step("begin" if alive else "begin_too_late", (self.worker_names[w],), True, after)

    def hold(self, state: State, worker: int, new: Body) -> State:
        """held.py, `HeldAttempts.add`: what has ended stays held until that is recorded, also behind a new attempt."""
        process = state.processes[worker]
        state = write_process(state, worker, process._replace(held=tuple(sorted((*process.held, new)))))
        return state if new.runs else send(state, ending_of(worker, new, released=True))

    def body_ends(self, state: State) -> Steps:
        """runner.py: the work ends by itself, or because it was cancelled; the recorder sends how."""
        for w, process in enumerate(state.processes):
            if process.life == UP:
                for body in process.held:
                    if body.runs:
                        told = (self.worker_names[w], self.task_names[body.task], body.attempt)
                        yield Step("body_ends", told, True, stopped(state, w, body, released=False))

    def release(self, state: State) -> Steps:
        """worker.py, `drain`: the grace is over; the work is seen dead, and given back."""
        for w, process in enumerate(state.processes):
            if process.life == UP and state.db.workers[w].state != ACTIVE:
                for body in process.held:
                    if body.runs:
                        told = (self.worker_names[w], self.task_names[body.task], body.attempt)
                        yield Step("release", told, True, stopped(state, w, body, released=True))

    def finish(self, state: State) -> Steps:
        """finish_attempts.sql, sent again until its fate is known (recorder.py). What does not match is late."""
        for ending in state.sent:
            task = state.db.tasks[ending.task]
            accepted = self.fence_holds(task, ending)
            process = state.processes[ending.worker]
            body = next((b for b in process.held if b[:3] == ending[1:4]), None)
            waiting = body is not None and not body.runs and process.life in (UP, FENCED)
            for status in self.outcomes(task, ending) if accepted else [""]:
                after = write_task(state, ending.task, end_attempt(task, ending.attempt, status)) if accepted else state
                told = (
                    self.worker_names[ending.worker],
                    self.task_names[ending.task],
                    ending.attempt,
                    status or "late",
                )
                if accepted:
                    yield Step("finish_reply_lost", told, False, after)
                if waiting:
                    held = tuple(b for b in process.held if b is not body)
                    yield Step("finish", told, True, write_process(after, ending.worker, process._replace(held=held)))

    def outcomes(self, task: Task, ending: Ending) -> list[str]:
        """The next status of a task whose attempt ended: the CASE of finish_attempts.sql."""
        if self.cancelled_meanwhile(task):
            return [CANCELLED] if ending.released else [CANCELLED, SUCCESS]
        again = PENDING if task.attempt < self.constants.max_attempts else FAILED
        if ending.released:
            return [again]
        return [SUCCESS, again] if self.constants.failures else [SUCCESS]

    def hand_back(self, state: State) -> Steps:
        """hand_back_assigned.sql: its worker drains or sits on it, its queue was paused, or it was edited."""
        for t, task in enumerate(state.db.tasks):
            if task.owner != NOBODY and self.may_be_handed_back(task):
                after = write_task(state, t, task._replace(status=PENDING, owner=NOBODY))
                yield Step("hand_back", (self.task_names[t],), True, after)

    def cancel(self, state: State) -> Steps:
        """transitions.py, `cancel`: at once while it waits, a request while it runs."""
        for t, task in enumerate(state.db.tasks):
            if task.status in (PENDING, SCHEDULED):
                cancelled = task._replace(status=CANCELLED)
            elif task.status == RUNNING and not task.cancelling:
                cancelled = task._replace(cancelling=True)
            else:
                continue
            yield Step("cancel", (self.task_names[t],), False, write_task(state, t, cancelled))

    # What may happen: workers

    def register(self, state: State) -> Steps:
        """guardian.py, `_run_one`: the next incarnation, once nothing is left of the last one.

        worker.py, `_register`: sent again until it is answered.
        """
        for w, process in enumerate(state.processes):
            first = w % self.constants.incarnations == 0
            next_one = not process.life and (first or state.processes[w - 1].life == GONE)
            if next_one or (process.life == REGISTERING and not process.beat.place):
                yield self._step(state, "register", w, Process(REGISTERING, beat=Beat(REQUEST)))

    def send_beat(self, state: State) -> Steps:
        """heartbeat.py, `step`; at most once a tick."""
        for w, process in enumerate(state.processes):
            if process.life == UP and not process.beat.place and process.age > 0:
                yield self._step(state, "send_beat", w, process._replace(beat=Beat(REQUEST)))

    def beat_arrives(self, state: State) -> Steps:
        """beat.sql and register_worker.sql. A DEAD or STOPPED row is not touched."""
        for w, process in enumerate(state.processes):
            if process.beat.place != REQUEST:
                continue
            row = state.db.workers[w]
            if process.life == REGISTERING:
                after = self.registered(state, w) if not row.state else self.registered_again(state, w)
                answer = process.beat._replace(place=REPLY)
                yield self._step(after, "registers", w, process._replace(beat=answer, timeline=state.timeline))
            elif row.state in LIVE:
                after = write_row(state, w, row._replace(beat=new_beat(state, w)))
                answer = process.beat._replace(place=REPLY, drops=self.drops(state, w))
                yield self._step(after, "beat", w, process._replace(beat=answer))
            else:
                answer = process.beat._replace(place=DISOWNED)
                yield self._step(state, "beat_refused", w, process._replace(beat=answer))

    def registered(self, state: State, worker: int) -> State:
        return write_row(state, worker, Row(ACTIVE, new_beat(state, worker)))

    def drops(self, state: State, worker: int) -> tuple[tuple[int, int], ...]:
        """beat.sql, ``told``: held attempts that are not its own any more."""
        held = [body for body in state.processes[worker].held if body.runs]
        return tuple((body.task, body.attempt) for body in held if not belongs(state, worker, body))

    def beat_answered(self, state: State) -> Steps:
        """worker.py, `heard` and `disowned`: count the lease, drop what is lost; or drop everything."""
        for w, process in enumerate(state.processes):
            if process.beat.place == DISOWNED and process.life == UP:
                yield Step("disowned", (self.worker_names[w],), True, self._fenced(state, w))
            elif process.beat.place == REPLY and process.life == REGISTERING:
                up = process._replace(life=UP, age=self.first_lease(process), beat=NO_BEAT)
                yield self._step(state, "registered", w, up)
            elif process.beat.place == REPLY and process.life == UP:
                heard = process._replace(age=self.renewed(process), beat=NO_BEAT)
                after = write_process(state, w, heard)
                for body in process.held:
                    if body.runs and (body.task, body.attempt) in process.beat.drops:
                        after = stopped(after, w, body, released=True)
                yield Step("beat_answered", (self.worker_names[w],), True, after)

    def lose_beat(self, state: State) -> Steps:
        """The connection breaks, before or after the database has heard."""
        for w, process in enumerate(state.processes):
            if process.beat.place:
                yield self._step(state, "lose_beat", w, process._replace(beat=NO_BEAT), fair=False)

    def fence(self, state: State) -> Steps:
        """worker.py, `_fence`: the lease is at its end; all work is killed, and this incarnation never beats again.

        Not fair: where nothing goes wrong, a worker beats in time.
        """
        for w, process in enumerate(state.processes):
            if process.life == UP and process.age >= self.usable:
                yield Step("fence", (self.worker_names[w],), False, self._fenced(state, w))

    def drain(self, state: State) -> Steps:
        """heartbeats.py, `begin_drain` and `request_drain`."""
        for w, row in enumerate(state.db.workers):
            if row.state == ACTIVE:
                after = write_row(state, w, row._replace(state=DRAINING))
                yield Step("drain", (self.worker_names[w],), False, after)

    def leave(self, state: State) -> Steps:
        """worker.py, `_leave`, change_worker_state.sql: STOPPED when it owns nothing, DEAD otherwise or when fenced."""
        for w, process in enumerate(state.processes):
            row = state.db.workers[w]
            drained = process.life == UP and row.state != ACTIVE
            if (drained or process.life == FENCED) and process.starter in ("", UNSURE) and self.may_leave(process):
                owns = any(task.owner == w and task.status not in ENDED for task in state.db.tasks)
                last = DEAD if owns or process.held or process.life == FENCED else STOPPED
                after = write_row(state, w, row._replace(state=last)) if row.state in LIVE else state
                yield self._step(after, "leave", w, exited(process))

    def crash(self, state: State) -> Steps:
        """The worker process is killed. What it started may live on until its guardian has killed that too."""
        for w, process in enumerate(state.processes):
            if process.life in (REGISTERING, UP, FENCED):
                yield self._step(state, "crash", w, exited(process), fair=False)

    # What may happen: guardians and schedulers

    def guardian_kills(self, state: State) -> Steps:
        """guardian.py: what a worker left behind, and a worker that stands still at the end of its lease."""
        for w, process in enumerate(state.processes):
            frozen = process.life == UP and process.age >= self.usable
            if process.life == EXITED or frozen:
                yield self._step(state, "guardian_kills", w, gone(process), fair=not frozen)

    def guardian_marks(self, state: State) -> Steps:
        """guardian.py, `_move_tasks_on`: the death is exact, so nobody need wait for the lease. It may fail."""
        for w, process in enumerate(state.processes):
            row = state.db.workers[w]
            if row.state in LIVE and self.may_be_marked(process):
                after = write_row(state, w, row._replace(state=DEAD))
                yield Step("guardian_marks", (self.worker_names[w],), not self.constants.clock, after)

    def observe(self, state: State) -> Steps:
        """recovery.py, `FailureDetector.observe`: a counter that has moved is watched from now on."""
        for w, (row, seen) in enumerate(zip(state.db.workers, state.seen, strict=True)):
            if row.state in LIVE and seen.beat != row.beat and not seen.looked:
                yield Step("observe", (self.worker_names[w],), True, write_seen(state, w, Seen(row.beat)))

    def look(self, state: State) -> Steps:
        """look_round.sql: the counter has not moved when it is read; the answer may take a tick."""
        for w, (row, seen) in enumerate(zip(state.db.workers, state.seen, strict=True)):
            late = seen.age >= self.constants.lease - 1
            if late and row.state in LIVE and seen.beat == row.beat and not seen.looked:
                yield Step("look", (self.worker_names[w],), True, write_seen(state, w, seen._replace(looked=True)))

    def mark_dead(self, state: State) -> Steps:
        """recovery.py, `mark_silent_workers`, change_worker_state.sql: the answer says that the counter has not moved
        for a whole lease of the observer's own clock; the mark is a transaction of its own."""
        for w, (row, seen) in enumerate(zip(state.db.workers, state.seen, strict=True)):
            if seen.looked and seen.age >= self.constants.lease:
                forgot = write_seen(state, w, UNSEEN)
                if row.state in LIVE and self.has_not_beaten(row, seen):
                    after = write_row(forgot, w, row._replace(state=DEAD))
                    yield Step("mark_dead", (self.worker_names[w],), True, after)
                else:
                    yield Step("mark_dead_too_late", (self.worker_names[w],), True, forgot)

    def recover(self, state: State) -> Steps:
        """recover_lost_tasks.sql, one task: its owner has no live row."""
        for t, task in enumerate(state.db.tasks):
            if task.status in (SCHEDULED, RUNNING) and state.db.workers[task.owner].state not in LIVE:
                if task.status == SCHEDULED:
                    after = task._replace(status=PENDING, owner=NOBODY)
                elif task.cancelling:
                    after = end_attempt(task, task.attempt, CANCELLED)
                else:
                    last = task.attempt >= self.constants.max_attempts
                    after = end_attempt(task, task.attempt, FAILED if last else PENDING)
                yield Step("recover", (self.task_names[t],), True, write_task(state, t, after))

    def session_breaks(self, state: State) -> Steps:
        """The observer's session breaks, or its scheduler crashes. Its pass, if it made one, is rolled back."""
        yield Step("session_breaks", (), False, state._replace(seen=self.remembered(state.seen)))

    # What may happen: the world

    def tick(self, state: State) -> Steps:
        """Time passes, for everybody alike."""
        if any(process.life in (UP, EXITED) and process.age >= self.usable for process in state.processes):
            return
        processes = tuple(map(self._older, state.processes))
        seen = tuple(
            s if s is UNSEEN or s.age >= self.constants.lease else s._replace(age=s.age + 1) for s in state.seen
        )
        yield Step("tick", (), True, state._replace(processes=processes, seen=seen))

    def standby_lags(self, state: State) -> Steps:
        """The standby an asynchronous failover would go to receives nothing more."""
        if state.standby is None and state.timeline == 0:
            yield Step("standby_lags", (), False, state._replace(standby=state.db))

    def fail_over(self, state: State) -> Steps:
        """The standby is promoted: a suffix of commits is lost, all sessions break, requests on their way are gone."""
        if state.standby is None:
            return
        new = state.standby
        processes = []
        resent: list[Ending] = []
        for w, process in enumerate(state.processes):
            held = tuple(forgotten(body, new) for body in process.held)
            answer = tuple(forgotten(body, new) for body in process.answer)
            beat = NO_BEAT if process.beat.place == REQUEST else process.beat
            starter = UNSURE if process.starter == ASKED and process.life in (UP, FENCED) else process.starter
            processes.append(process._replace(beat=beat, starter=starter, answer=answer, held=held))
            ended = {body[:3]: body for body in held if not body.runs}
            resent += [
                ending._replace(forgotten=ended[ending[1:4]].forgotten)
                for ending in state.sent
                if ending.worker == w and ending[1:4] in ended
            ]
        seen = self.remembered(state.seen)
        yield Step("fail_over", (), False, State(new, tuple(processes), seen, tuple(sorted(resent)), None, 1))

    # Parts of steps

    def _step(self, state: State, name: str, worker: int, process: Process, *, fair: bool = True) -> Step[State]:
        return Step(name, (self.worker_names[worker],), fair, write_process(state, worker, process))

    def _fenced(self, state: State, worker: int) -> State:
        """All work is dead. (A beat on its way may still arrive; it would only delay what the observer sees.)"""
        process = state.processes[worker]
        for body in process.held:
            if body.runs:
                state = stopped(state, worker, body, released=True)
        fenced = state.processes[worker]._replace(life=FENCED, age=0, beat=NO_BEAT)
        return write_process(state, worker, fenced)

    def _older(self, process: Process) -> Process:
        """One tick later."""
        beat = process.beat
        if beat.place and beat.age < self.usable:
            process = process._replace(beat=beat._replace(age=beat.age + 1))
        if process.life in (UP, EXITED) and process.age < self.usable:
            process = process._replace(age=process.age + 1)
        return process

    # What must hold, and when the work is done

    def broken_invariant(self, state: State) -> str | None:
        return properties.broken_invariant(state, self.constants)

    def broken_law(self, state: State, step: Step[State]) -> str | None:
        return properties.broken_law(state, step)

    def done(self, state: State) -> bool:
        """Every task has ended; or the model has no worker left that could end it, which the product always has."""
        if all(task.status in ENDED for task in state.db.tasks):
            return True
        last = self.constants.incarnations - 1
        return all(
            process.life in (FENCED, EXITED, GONE) or (process.life == UP and state.db.workers[w].state != ACTIVE)
            for w, process in enumerate(state.processes)
            if w % self.constants.incarnations == last
        )

    # For the checker

    def canonical(self, state: State) -> State:
        return symmetry.canonical(state, self.constants.incarnations)

    def describe(self, before: State, after: State) -> Iterator[str]:
        return changes(before, after, self.task_names, self.worker_names)
