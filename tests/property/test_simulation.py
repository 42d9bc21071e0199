"""Histories of the simulation (``simulation.py``, ``shared_log.py``), drawn at random.

A history that breaks a promise is printed as the steps that lead there; with the profile "search" also how to come back to it.
"""

from __future__ import annotations

import random
from pathlib import Path
from unittest.mock import patch

import pytest
import structlog
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from routing.delivery import retrying
from tests.property.shared_log import SharedLog
from tests.property.simulation import Simulation
from tests.property.test_loop import template

__all__ = ["template"]  # the fixture


def play(machine: type[Simulation], template: Path, examples: int, steps: int) -> None:
    machine.template = template
    with patch.object(retrying, "wait_as_asked", lambda _state: 0.0), structlog.testing.capture_logs():
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            ),
        )


@pytest.mark.timeout(600)
def test_every_promise_is_kept(template: Path) -> None:
    play(Simulation, template, examples=120, steps=25)


@pytest.mark.timeout(600)
def test_every_promise_is_kept_by_workers_that_share_a_log(template: Path) -> None:
    play(SharedLog, template, examples=80, steps=25)


@pytest.mark.faults
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("machine", [Simulation, SharedLog])
def test_a_long_search(template: Path, machine: type[Simulation]) -> None:
    number = random.SystemRandom().getrandbits(64)
    print(f"searching 2,500 histories of {machine.__name__} from seed {number}")
    play(seed(number)(type(machine.__name__, (machine,), {})), template, examples=2500, steps=50)
