"""What the demo shows while it runs: one live screen, or a line now and then."""

import json
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.services import Troupe

FLOW = (  # arrow, service, counter
    ("devices -> MQTT -> ingest", "ingest", "haltere_ingest_acknowledged_total"),
    ("ingest -> Kafka readings", "ingest", "haltere_ingest_readings_total"),
    ("readings -> train", "train", "haltere_train_readings_total"),
    ("readings -> score -> scores", "score", "haltere_score_scores_total"),
    ("alerts -> egress -> MQTT", "egress", "haltere_egress_acknowledged_total"),
)
SHOWN = 12  # alerts on the screen
LINE_S = 10.0  # between two lines without a screen


class Alerts:
    """Follows the file in which the devices note what reached them."""

    def __init__(self) -> None:
        self._place = 0
        self.last: deque[dict[str, Any]] = deque(maxlen=SHOWN)
        self.count = 0

    def read(self, folder: Path) -> None:
        path = folder / "alerts.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._place)
            for line in file:
                if line.endswith(b"\n"):
                    self._place += len(line)
                    self.count += 1
                    self.last.append(json.loads(line))


class Headless:
    """A line of figures now and then, for whoever waits."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._next = 0.0
        self._alerts = Alerts()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, troupe: Troupe, folder: Path) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LINE_S
        self._alerts.read(folder)
        acknowledged, scores = (troupe.counters[s].total(name) for _, s, name in (FLOW[0], FLOW[3]))
        self._say(f"in Kafka {acknowledged:.0f}, scored {scores:.0f}, alerts {self._alerts.count}")


class Screen:
    """One live screen."""

    def __init__(self, devices: int) -> None:
        self._devices = devices
        self._live = Live(auto_refresh=False)
        self._alerts = Alerts()
        self._begun = time.monotonic()
        self._before: dict[str, tuple[float, float]] = {}
        self._rates: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, troupe: Troupe, folder: Path) -> None:
        self._alerts.read(folder)
        self._live.update(Group(self._flow(troupe), self._list()), refresh=True)

    def _flow(self, troupe: Troupe) -> Panel:
        table = Table(box=None, expand=True)
        table.add_column("flow")
        for title in ("per second", "in all"):
            table.add_column(title, justify="right")
        for arrow, service, name in FLOW:
            total = troupe.counters[service].total(name)
            table.add_row(arrow, f"{self._rate(arrow, total):,.0f}", f"{total:,.0f}")
        score, train = troupe.counters["score"], troupe.counters["train"]
        versions = train.total("haltere_train_versions_total")
        state = (
            f"devices {self._devices}   lag {score.total('haltere_score_lag'):.0f} readings   "
            f"model versions {versions:.0f}   alerts {self._alerts.count}   "
            f"restarts {sum(troupe.restarts.values())}"
        )
        seconds = time.monotonic() - self._begun
        title = f"haltere demo, {seconds:.0f} s; Ctrl-C stops everything"
        return Panel(Group(table, Text(state, style="bold")), title=title)

    def _rate(self, arrow: str, total: float) -> float:
        now = time.monotonic()
        then, before = self._before.get(arrow, (now - 1.0, total))
        if now - then >= 1.0:
            self._before[arrow] = (now, total)
            self._rates[arrow] = max(0.0, (total - before) / (now - then))
        return self._rates.get(arrow, 0.0)

    def _list(self) -> Panel:
        table = Table(box=None, expand=True)
        for title in ("device", "sensor", "what", "value", "score"):
            table.add_column(title)
        table.add_column("on the device after", justify="right")
        for alert in reversed(self._alerts.last):
            value = alert.get("value")
            took = (alert["arrived"] - alert["time"]) / 1000
            table.add_row(
                *(alert["device"], alert["channel"], alert["reason"]),
                *("" if value is None else f"{value:.4g}", f"{alert['score']:.2f}"),
                f"{took:.0f} ms",
            )
        waiting = "alerts can come when a device has sent 60 readings, after a minute"
        return Panel(table if self._alerts.last else Text(waiting), title="alerts on the devices")
