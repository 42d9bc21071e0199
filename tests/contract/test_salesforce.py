"""Salesforce passes the contract suites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.delivering import DeliverySuite, post  # noqa: F401 - a fixture
from tests.contract.listening import SourceSuite
from tests.contract.salesforce_stand import ComparedStand, SalesforceStand, salesforce_stand
from tests.contract.suites import ReaderSuite, SessionSuite, SinkSuite, unwell_until_a_write_is_answered


@pytest.fixture(scope="module")
def one_stand() -> Iterator[SalesforceStand]:
    with salesforce_stand() as stand:
        yield stand


@pytest.fixture
def stand(one_stand: SalesforceStand) -> Iterator[SalesforceStand]:
    yield one_stand
    one_stand.faults.clear()
    one_stand.connection.client.hold.release()


class TestReader(ReaderSuite):
    pass


class TestSink(SinkSuite):
    def test_while_it_refuses_writes_and_answers_reads_it_is_not_well(self, stand: SalesforceStand) -> None:
        unwell_until_a_write_is_answered(stand, stand.connection.client.hold)


class TestDelivery(DeliverySuite):
    pass


class TestComparedDelivery(DeliverySuite):
    @pytest.fixture
    def stand(self) -> Iterator[SalesforceStand]:
        with salesforce_stand(ComparedStand) as stand:
            yield stand


class TestSession(SessionSuite):
    pass


class TestSource(SourceSuite):
    pass
