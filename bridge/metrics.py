"""Prometheus counters and the health of one process, over HTTP. Owns prometheus_client.

``/metrics`` is Prometheus text, ``/healthz`` is 200 while the loop beats, ``/readyz`` once it
is connected to its brokers. No decisions: the loop says what is so.
"""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bridge.errors import Misconfigured
from bridge.settings import Metrics

STALE_S = 30.0  # a loop that has not beaten for so long is not healthy
LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Telemetry:
    """What a loop says about itself; `Server` shows it.

    >>> telemetry = Telemetry("ingest")
    >>> telemetry.count("messages", 2, outcome="accepted")
    >>> telemetry.value("messages", outcome="accepted")
    2.0
    """

    def __init__(self, process: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.process = process
        self.registry = CollectorRegistry()
        self.ready = False
        self._clock = clock
        self._beaten = clock()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._latency = Histogram(
            f"haltere_{process}_latency_seconds",
            "From the reception of a message to its result",
            buckets=LATENCY_S,
            registry=self.registry,
        )

    def count(self, what: str, by: float = 1, **labels: str) -> None:
        """Add to ``haltere_{process}_{what}_total``."""
        counter = self._counters.get(what)
        if counter is None:
            name = f"haltere_{self.process}_{what}"
            counter = Counter(name, name, sorted(labels), registry=self.registry)
            self._counters[what] = counter
        (counter.labels(**labels) if labels else counter).inc(by)

    def gauge(self, what: str, value: float) -> None:
        """Set ``haltere_{process}_{what}``."""
        if what not in self._gauges:
            name = f"haltere_{self.process}_{what}"
            self._gauges[what] = Gauge(name, name, registry=self.registry)
        self._gauges[what].set(value)

    def latency(self, seconds: float) -> None:
        """Observe one latency."""
        self._latency.observe(seconds)

    def value(self, what: str, **labels: str) -> float:
        """A counter's value, 0 where nothing was counted."""
        name = f"haltere_{self.process}_{what}_total"
        return self.registry.get_sample_value(name, labels) or 0.0

    def beat(self) -> None:
        """The loop is alive."""
        self._beaten = self._clock()

    def healthy(self) -> bool:
        """Whether the loop has beaten lately."""
        return self._clock() - self._beaten < STALE_S


class Server:
    """Serves a `Telemetry`; a context manager. Port 0 serves nothing."""

    def __init__(self, metrics: Metrics, telemetry: Telemetry) -> None:
        self._http: ThreadingHTTPServer | None = None
        if metrics.port:
            try:
                self._http = ThreadingHTTPServer((metrics.host, metrics.port), _handler(telemetry))
            except OSError as error:
                raise Misconfigured(
                    f"metrics.port {metrics.port}",
                    "a free port",
                    str(error),
                    "set another with HALTERE_METRICS_PORT, or 0 for none",
                ) from None

    def __enter__(self) -> Self:
        if self._http:
            threading.Thread(target=self._http.serve_forever, daemon=True, name="metrics").start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._http:
            self._http.shutdown()
            self._http.server_close()


def _answer(telemetry: Telemetry, path: str) -> tuple[int, bytes]:
    if path == "/metrics":
        return 200, generate_latest(telemetry.registry)
    if path == "/healthz":
        return (200, b"ok\n") if telemetry.healthy() else (503, b"the loop does not beat\n")
    if path == "/readyz":
        ready = telemetry.ready and telemetry.healthy()
        return (200, b"ok\n") if ready else (503, b"not connected to its brokers\n")
    return 404, b"/metrics /healthz /readyz\n"


def _handler(telemetry: Telemetry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = _answer(telemetry, self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: a scrape every few seconds is no news."""

    return Handler
