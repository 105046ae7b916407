"""Counters and health over real HTTP, on a clock that the test advances."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bridge.child import free_endpoint
from bridge.errors import Misconfigured
from bridge.metrics import STALE_S, Server, Telemetry
from bridge.settings import Metrics
from tests.process import get


class Clock:
    """Goes on when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0  # s

    def __call__(self) -> float:
        return self.now


@contextmanager
def served(telemetry: Telemetry) -> Iterator[str]:
    endpoint = free_endpoint()
    with Server(Metrics(host=endpoint.host, port=endpoint.port), telemetry):
        yield f"http://{endpoint}"


def test_healthz_goes_stale_when_the_loop_beats_no_more_and_comes_back() -> None:
    clock = Clock()
    telemetry = Telemetry("ingest", clock)
    with served(telemetry) as url:
        assert get(f"{url}/healthz") == (200, "ok\n")
        clock.now += STALE_S - 1
        assert get(f"{url}/healthz")[0] == 200
        clock.now += 1
        assert get(f"{url}/healthz") == (503, "the loop does not beat\n")
        telemetry.beat()
        assert get(f"{url}/healthz")[0] == 200


def test_readyz_asks_for_a_connection_and_a_beat() -> None:
    clock = Clock()
    telemetry = Telemetry("ingest", clock)
    with served(telemetry) as url:
        assert get(f"{url}/readyz") == (503, "not connected to its brokers\n")
        telemetry.ready = True
        assert get(f"{url}/readyz") == (200, "ok\n")
        clock.now += STALE_S
        assert get(f"{url}/readyz")[0] == 503


def test_metrics_are_prometheus_text() -> None:
    telemetry = Telemetry("ingest")
    telemetry.count("messages", 2, outcome="accepted")
    telemetry.count("messages", outcome="dead_letter")
    telemetry.count("acknowledged", 3)
    telemetry.gauge("in_flight", 7)
    telemetry.gauge("in_flight", 5)
    telemetry.latency(0.02)
    with served(telemetry) as url:
        status, text = get(f"{url}/metrics?name=x")
    lines = text.splitlines()
    assert status == 200
    assert 'haltere_ingest_messages_total{outcome="accepted"} 2.0' in lines
    assert 'haltere_ingest_messages_total{outcome="dead_letter"} 1.0' in lines
    assert "haltere_ingest_acknowledged_total 3.0" in lines
    assert "haltere_ingest_in_flight 5.0" in lines
    assert 'haltere_ingest_latency_seconds_bucket{le="0.025"} 1.0' in lines


def test_a_counter_that_was_never_counted_is_0() -> None:
    assert Telemetry("ingest").value("messages", outcome="accepted") == 0.0


def test_another_path_is_told_the_paths_there_are() -> None:
    with served(Telemetry("ingest")) as url:
        assert get(url) == (404, "/metrics /healthz /readyz\n")


def test_port_0_serves_nothing() -> None:
    with Server(Metrics(port=0), Telemetry("ingest")) as server:
        assert server._http is None


def test_a_port_in_use_is_misconfigured_and_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"metrics.port {port}.*HALTERE_METRICS_PORT"):
            Server(Metrics(port=port), Telemetry("ingest"))


def test_when_it_ends_nobody_listens_any_more() -> None:
    with served(Telemetry("ingest")) as url:
        pass
    assert get(f"{url}/healthz")[0] == 0
