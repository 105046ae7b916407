"""What must hold of any bytes on any topic, with what one normaliser remembers of all before."""

import time

from bridge.contracts import Message
from bridge.normalise import Accepted, Ignored, Normaliser, Outcome
from tests.laws import CPU_LIMIT_S, RECEIVED, holds

AGAIN = 3  # times that a slow message is tried before it counts as one: the machine is noisy


class Broken(Exception):
    """A message that breaks the law; ``str`` shows how to see it again."""


class Check:
    """Normalises messages and holds each to the law."""

    def __init__(self) -> None:
        self._normaliser = Normaliser(())
        self.outcomes: dict[str, int] = {}
        self.slowest_s = 0.0  # of those within the limit

    def __call__(self, topic: str, payload: bytes) -> None:
        """One message.

        Raises:
            Broken: it does not end well, or takes too long.
        """
        message = Message(topic, payload, RECEIVED)
        outcome, spent = self._spent(message)
        again = 0
        while spent > CPU_LIMIT_S and again < AGAIN:
            again += 1
            spent = min(spent, self._spent(message)[1])
        if spent > CPU_LIMIT_S:
            raise Broken(f"{spent * 1e3:.1f} ms: {_shown(topic, payload)}")
        self.slowest_s = max(self.slowest_s, spent)
        self._examine(outcome, topic, payload)
        self._normaliser.session.births()
        self._normaliser.session.rebirths()

    def _spent(self, message: Message) -> tuple[Outcome, float]:
        begun = time.thread_time_ns()
        try:
            outcome = self._normaliser(message)
        except Exception as error:
            shown = _shown(message.topic, message.payload)
            raise Broken(f"raised {error!r}: {shown}") from error
        return outcome, (time.thread_time_ns() - begun) / 1e9

    def _examine(self, outcome: Outcome, topic: str, payload: bytes) -> None:
        kind = type(outcome).__name__
        self.outcomes[kind] = self.outcomes.get(kind, 0) + 1
        try:
            if isinstance(outcome, Accepted):
                for reading in outcome.readings:
                    holds(reading)
            elif isinstance(outcome, Ignored):
                assert outcome.reason
            else:
                assert "our fault" not in outcome.received, outcome.received
                assert outcome.path and outcome.expected and outcome.received
        except AssertionError as error:
            raise Broken(f"{kind} {error}: {_shown(topic, payload)}") from error


def _shown(topic: str, payload: bytes) -> str:
    more = f"... ({len(payload)} bytes)" if len(payload) > 2000 else ""
    return f"topic {topic!r}, payload {payload[:2000]!r}{more}"
