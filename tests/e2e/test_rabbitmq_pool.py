"""What matters most, on RabbitMQ; `make prove-brokers` runs all of the pool's tests on either broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import test_connections, test_crashes, test_pool
from tests.e2e.conftest import Pool, running_pool
from tests.rabbitmq import RabbitMQ
from workers.stack.services import Services


@pytest.fixture(scope="module")
def pool(services: Services, rabbitmq: RabbitMQ) -> Iterator[Pool]:
    with running_pool(services, rabbitmq) as running:
        yield running


test_message_twice = test_pool.test_a_message_that_comes_twice_leaves_one_record
test_no_manifest = test_pool.test_a_message_that_is_no_manifest_goes_to_quarantine_and_the_pool_goes_on
test_status = test_pool.test_status_shows_lanes_workers_and_engine
test_cut_while_idle = test_connections.test_an_idle_pool_takes_segments_again_after_its_connections_broke
test_cut_at_work = test_connections.test_a_busy_pool_ends_with_one_record_a_segment_although_its_connections_broke


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kill", [test_crashes.kill_worker, test_crashes.kill_broker])
def test_every_segment_ends_with_one_whole_record_when(kill: test_crashes.Kill, pool: Pool, services: Services) -> None:
    test_crashes.survives(kill, pool, services, segments=24)
