"""All mutants. What a mutant is, is in ``mutant``; add one beside its like when a guard is added."""

from __future__ import annotations

from typing import Final

from tests.mutants.ageing import AGEING
from tests.mutants.approvals import APPROVALS
from tests.mutants.batches import BATCHES
from tests.mutants.bounds import BOUNDS
from tests.mutants.bulk import BULK
from tests.mutants.callbacks import CALLBACKS
from tests.mutants.edges import EDGES
from tests.mutants.failures import FAILURES
from tests.mutants.flow import FLOW
from tests.mutants.freezes import FREEZES
from tests.mutants.inputs import INPUTS
from tests.mutants.minutes import MINUTES
from tests.mutants.mutant import Mutant
from tests.mutants.output import OUTPUT
from tests.mutants.pages import PAGES
from tests.mutants.people import PEOPLE
from tests.mutants.processes import PROCESSES
from tests.mutants.rates import RATES
from tests.mutants.results import RESULTS
from tests.mutants.schedules import SCHEDULES
from tests.mutants.statements import STATEMENTS
from tests.mutants.tokens import TOKENS
from tests.mutants.workflows import WORKFLOWS

MUTANTS: Final[list[Mutant]] = [
    *STATEMENTS,
    *PROCESSES,
    *SCHEDULES,
    *INPUTS,
    *EDGES,
    *PEOPLE,
    *PAGES,
    *FLOW,
    *FREEZES,
    *RATES,
    *BOUNDS,
    *WORKFLOWS,
    *RESULTS,
    *BULK,
    *AGEING,
    *CALLBACKS,
    *BATCHES,
    *TOKENS,
    *APPROVALS,
    *OUTPUT,
    *MINUTES,
    *FAILURES,
]
