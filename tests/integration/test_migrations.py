"""The migrations say what the models say."""

from __future__ import annotations

import pytest
from django.core.management import call_command


@pytest.mark.django_db
class TestMigrations:
    def test_leave_no_change_of_a_model_out(self) -> None:
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)
