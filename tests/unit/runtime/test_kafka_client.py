"""What is told of a Kafka that cannot be reached."""

from __future__ import annotations

import logging

from kafka.errors import KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError

from routing.runtime.kafka.client import last_failure


def test_a_last_try_that_our_own_deadline_cut_short_hides_no_reason() -> None:
    logger = logging.getLogger("kafka.net.connection")
    with last_failure() as failed:
        logger.error("%s: Connection lost: %s", "node 0", KafkaConnectionError("socket disconnected"))
        logger.error("%s: Connection lost: %s", "node 0", RequestTimedOutError("Request timed out after 29 ms"))
        logger.error("Bootstrap failed: %s", KafkaTimeoutError("Unable to bootstrap"))
    assert "password" in failed.reason


def test_a_broker_that_only_ever_timed_out_is_told_as_that() -> None:
    with last_failure() as failed:
        logging.getLogger("kafka.net.connection").error("%s lost: %s", "node 0", RequestTimedOutError("after 5000 ms"))
    assert "after 5000 ms" in failed.reason
