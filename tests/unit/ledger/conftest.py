from __future__ import annotations

import pytest

from routing.ledger.engine import Ledger


@pytest.fixture
def ledger(any_ledger: Ledger) -> Ledger:
    """Whatever is asked of the ledger holds on both databases."""
    return any_ledger
