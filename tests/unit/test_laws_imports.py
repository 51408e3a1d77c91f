"""The law of one direction: every app says in which order its modules may import, and leaves none of them out.

``lint-imports`` (`make lint`) holds the code to the contracts; these tests hold the contracts to the apps.
"""

from __future__ import annotations

import tomllib
from typing import Any, Final

import pytest

from tests.support.product import APPS, ROOT

CONTRACTS: Final[list[dict[str, Any]]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
#: What Django loads by their names: an app's start-up may import anything of it, and migrations are history.
LEFT_OUT: Final = {"apps", "migrations"}
#: Large packages inside an app, which have an order of their own.
PACKAGES: Final = ("tasks_app.conf", "workers_app.doctor", "workers_app.processes", "workflows_app.callbacks")


def layers_of(container: str) -> dict[str, Any]:
    [contract] = [each for each in CONTRACTS if each.get("containers") == [container]]
    assert contract["type"] == "layers"
    return contract


def modules_in(container: str) -> set[str]:
    """Modules and packages right below a package."""
    folder = ROOT / container.replace(".", "/")
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return packages | {path.stem for path in folder.glob("*.py")} - {"__init__"}


class TestContracts:
    def test_order_the_apps(self) -> None:
        [contract] = [each for each in CONTRACTS if each["type"] == "layers" and "containers" not in each]
        assert contract["layers"] == list(reversed(APPS))

    def test_are_there_for_each_app_and_large_package(self) -> None:
        """One that is deleted leaves no trace in what `lint-imports` prints."""
        assert {name for each in CONTRACTS for name in each.get("containers", ())} == {*APPS, *PACKAGES}

    @pytest.mark.parametrize("container", [*APPS, *PACKAGES])
    def test_name_a_layer_for_each_module(self, container: str) -> None:
        """As the linter does with ``exhaustive``: twice, because a contract without it lets new modules go anywhere."""
        contract = layers_of(container)
        named = {name.strip(" ()") for layer in contract["layers"] for name in layer.replace("|", ":").split(":")}
        left_out = set(contract.get("exhaustive_ignores", ()))
        assert named == modules_in(container) - left_out
        assert left_out <= LEFT_OUT
        assert contract["exhaustive"] is True

    @pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract["name"])
    def test_let_nothing_pass_that_is_not_said(self, contract: dict[str, Any]) -> None:
        """An import that is ignored is an arrow in the other direction: each is named here with its reason."""
        assert contract.get("ignore_imports", []) in (
            [],
            ["workers_app.endings -> tasks_app.starting"],  # `Attempt`, a value, stands beside what makes one
        )
