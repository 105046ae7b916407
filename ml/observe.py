"""A batch of readings -> residuals, by rounds: the part that train and score share. No I/O.

An observation goes down this page: arrival, values, residuals, context for the model, and only
then is the reading learned from. All state is in the tables.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bridge.settings import Score
from ml import decide, windows
from ml.columns import Columns
from ml.detectors import envelope, runs, statistics
from ml.state import STEPS, Field, Table
from ml.windows import Arrival, Homes, Round

CONTEXT = {"context": Field("sc")}  # deviations from the mean, in standard deviations
DETECTORS = statistics.FIELDS | envelope.FIELDS | runs.FIELDS
FIELDS = windows.FIELDS | DETECTORS | decide.FIELDS | CONTEXT
FAR = 8.0  # standard deviations; the model sees nothing further out


@dataclass(frozen=True, slots=True)
class Observation:
    """A round after its residuals are known. n readings were judged, of m that arrived."""

    round: Round
    arrival: np.ndarray  # (m,) of Arrival, for all rows of the round
    rows: np.ndarray  # (n,) rows of the batch that are judged
    table: Table
    at: np.ndarray  # (n,) their rows in the table
    values: np.ndarray  # (n, channels), NaN where missing
    evidence: decide.Evidence
    context: np.ndarray  # (n, STEPS, channels), float32
    trained: np.ndarray  # (n,), bool: new, so that a model may learn from it


class Observer:
    """The tables of all classes."""

    def __init__(self, to: Score) -> None:
        self._to = to
        self.homes = Homes()
        self.tables: dict[str, Table] = {}

    def table(self, device_class: str) -> Table:
        """The table of a class, new if need be."""
        if device_class not in self.tables:
            self.tables[device_class] = Table(FIELDS)
        return self.tables[device_class]

    def forget(self, device: str) -> None:
        """The device belongs to another worker now."""
        home = self.homes.of.pop(device, None)
        if home is not None:
            self.tables[home].forget(device)

    def observe(self, batch: Columns) -> Iterator[Observation]:
        """All rounds of a batch, in order."""
        for round_ in self.homes.rounds(batch):
            yield self._round(batch, round_)

    def _round(self, batch: Columns, round_: Round) -> Observation:
        table = self.table(round_.device_class)
        at = table.rows([batch.device[row] for row in round_.rows])
        arrival = windows.arrive(table, at, batch, round_, self._to.lateness_s)
        taken = (arrival == Arrival.NEW) | (arrival == Arrival.OLDER)
        rows, at, new = round_.rows[taken], at[taken], arrival[taken] == Arrival.NEW
        part = Round(round_.device_class, rows)
        x = windows.matrix(table, at, batch, part)
        line = np.where(new[:, None], windows.trend(table, at), np.nan)
        residuals = statistics.judge(table, at, x, line)
        known, repeats = ~np.isnan(x), x == table["last"][at]
        missing = ~known & ~np.isnan(table["last"][at])
        context = _context(table, at, residuals.deviation)
        fresh = residuals.take(new)
        statistics.learn(table, at[new], line[new], fresh)
        windows.enter(table, at[new], fresh.cleaned, batch.position[rows[new]])
        table["context"][at[new]] = context[new]
        left = np.zeros_like(x)
        left[new] = envelope.leave(table, at[new], x[new])
        told = (residuals.scored, residuals.innovation, residuals.level, left)
        evidence = decide.Evidence(known, missing, repeats, *told)
        return Observation(
            round_, arrival, rows, table, at, x, evidence, context.astype(np.float32), new
        )


def _context(table: Table, at: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    before = table["context"][at][:, 1 - STEPS :]
    now = np.clip(deviation, -FAR, FAR)[:, None]
    return np.concatenate((before, now), axis=1)
