"""What a person or a program may ask of a target, which is a host that tasks call: limit it, see it, forget its rules.

A rule of a target holds for all tasks whose payload names its host, of whatever queue. Rules change with the pass held,
so that no pass that has not seen them can commit after what is owned was counted in.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from ipaddress import IPv6Address
from typing import Any, Final

from django.db import transaction
from django.db.models import F

from access_app import audit
from access_app.versions import Versions, require
from flow_app.buckets import fit_bucket, rate_of
from flow_app.counting_in import hand_back_assigned, stamp_limited
from flow_app.models import SchedulerPass, Target
from flow_app.rules import MOST_CONCURRENT, rate_rule, within
from tasks_app import wakeups
from tasks_app.executors.http_payload import MAX_HOST

_HOST: Final = re.compile(rf"[a-z0-9._:%-]{{1,{MAX_HOST}}}", re.ASCII)


#: How fast tasks that call a target may start.
RATE: Final = rate_rule("rateLimit", "rate", "tasks that call it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of a target. Without any it is as good as none, but for what `respect_retry_after` does by default.

    Raises ValueError for what cannot be; an `InvalidInput` of its rate names the parts.
    """

    max_concurrency: int | None = None
    rate_limit: int | None = None
    rate_period: int | None = None
    rate_burst: int | None = None
    respect_retry_after: bool = True

    def __post_init__(self) -> None:
        if self.max_concurrency is not None:
            within(0, MOST_CONCURRENT).read(self.max_concurrency)
        if (rate := RATE.shown(self)) is not None:
            RATE.columns(rate)


def named(text: str) -> str | None:
    """The host of this name as tasks have it: lower case, without the dot at its end; None when no host can have it."""
    host = text.lower().rstrip(".")
    return host if _HOST.fullmatch(host) and (":" not in host or _is_ipv6(host)) else None


def _is_ipv6(host: str) -> bool:
    """Perhaps with a zone, as a URL has it; anything else with a colon is a host and a port, which no task has."""
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def put_target(host: str, rules: Rules, *, actor: str, versions: Versions = None) -> tuple[Target, bool]:
    """Let these rules hold from now on, and no others; return the target and whether it is new.

    Nothing that runs is stopped: when more runs than the limit allows, nothing starts until fewer do. Not to respect
    Retry-After ends a back-off. Raises `Stale`; a target that has no row is at version 0.
    """
    with transaction.atomic():
        before = _take(host, versions)
        old = Rules() if before is None else _rules_of(before)
        if before is not None and old == rules:
            return before, False
        if before is None:
            Target.objects.create(host=host, **asdict(rules))
        else:
            ended = {} if rules.respect_retry_after else {"backing_off_until": None}
            Target.objects.filter(host=host).update(**asdict(rules), **ended, version=F("version") + 1)
        if _is_stricter(rules.max_concurrency, old.max_concurrency):
            hand_back_assigned(target=host, actor=actor, reason="its target was limited")
            stamp_limited(target=host)
        if RATE.shown(old) != RATE.shown(rules):
            _follow_rate(host, old, rules, actor)
        detail = {"from": None if before is None else _shown(old), "to": _shown(rules)}
        audit.record(actor, "target.changed", f"target:{host}", detail=detail)
        transaction.on_commit(wakeups.notify_schedulers)
    return Target.objects.get(host=host), before is None


def delete_target(host: str, *, actor: str, versions: Versions = None) -> None:
    """Forget the rules of a target; what waited for them is opened. Raises `Target.DoesNotExist`, `Stale`."""
    with transaction.atomic():
        if (target := _take(host, versions)) is None:
            raise Target.DoesNotExist
        target.delete()
        fit_bucket("target", host, rate_of(target), None)
        audit.record(actor, "target.deleted", f"target:{host}", detail={"from": _shown(_rules_of(target))})
        transaction.on_commit(wakeups.notify_schedulers)


def _follow_rate(host: str, before: Rules, after: Rules, actor: str) -> None:
    """A rate counts what starts from now on: what has not started goes back, and is given anew with its tokens."""
    if after.rate_limit is not None:
        hand_back_assigned(target=host, actor=actor, reason="its target was given a rate")
    fit_bucket("target", host, rate_of(before), rate_of(after))


def _take(host: str, versions: Versions) -> Target | None:
    """The target as it is, with the pass held. Raises `Stale`."""
    SchedulerPass.objects.select_for_update().get(name="assign")
    target = Target.objects.select_for_update().filter(host=host).first()
    version = 0 if target is None else target.version
    require(versions, version, "target")
    return target


def _rules_of(target: Target) -> Rules:
    return Rules(**{field.name: getattr(target, field.name) for field in fields(Rules)})


def _shown(rules: Rules) -> dict[str, Any]:
    limit = {"maxConcurrency": rules.max_concurrency, "rateLimit": RATE.shown(rules)}
    return limit | {"respectRetryAfter": rules.respect_retry_after}


def _is_stricter(new: int | None, old: int | None) -> bool:
    return new is not None and (old is None or new < old)
