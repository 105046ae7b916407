"""The loop on a fake clock and fake links, the replay of files, and the documentation."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bridge.contracts import MICROS, Message
from bridge.errors import Misconfigured
from bridge.fleet import Plan, faults
from bridge.replay import GAP_S, Recording, open_recording
from bridge.simulator import (
    IN_FLIGHT,
    LATE,
    PER_CONNECTION,
    Outputs,
    Stats,
    drive,
    fleet_programme,
    replay_programme,
)

DOCS = Path(__file__).parents[2] / "docs" / "simulator.md"
SKAB = Path(__file__).parents[3] / "shared" / "data" / "skab" / "valve1" / "0.csv"
START = 1_700_000_000 * MICROS


class Clock:
    """Time that passes only when somebody waits; also the stop event, set at `until`."""

    def __init__(self, until: int | None = None) -> None:
        self.time = START
        self.until = until

    def now(self) -> int:
        return self.time

    def is_set(self) -> bool:
        return self.until is not None and self.time >= self.until

    def wait(self, timeout: float) -> bool:
        self.time += max(1, int(timeout * MICROS))
        return self.is_set()


class FakeBatch:
    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.acked = False

    def ack(self) -> None:
        self.acked = True


class FakeLink:
    """A broker that acknowledges at once, or after a given time; alerts arrive when told."""

    def __init__(self, clock: Clock, puback_at: int = 0) -> None:
        self.clock = clock
        self.puback_at = puback_at
        self.sent: list[tuple[str, bytes]] = []
        self.waiting: list[object] = []
        self.alerts: list[Message] = []
        self.given: list[FakeBatch] = []

    def receive(self, maximum: int, timeout_s: float) -> FakeBatch:
        self.clock.time += int(timeout_s * MICROS)
        ready = [a for a in self.alerts if a.received <= self.clock.time]
        self.alerts = [a for a in self.alerts if a.received > self.clock.time]
        self.given.append(FakeBatch(*ready[:maximum]))
        return self.given[-1]

    def publish(self, topic: str, payload: bytes, token: object) -> None:
        self.sent.append((topic, payload))
        self.waiting.append(token)

    def acknowledged(self) -> list[object]:
        if self.clock.time < self.puback_at:
            return []
        tokens, self.waiting = self.waiting, []
        return tokens

    def refused(self) -> list[tuple[object, str]]:
        return []

    def in_flight(self) -> int:
        return len(self.waiting)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def small_plan(**more: Any) -> Plan:
    return Plan(**({"devices": 4, "start": START, "duration_s": 10.0} | more))


def test_every_message_is_published_when_it_is_due(tmp_path: Path) -> None:
    clock = Clock(until=START + 12 * MICROS)
    link = FakeLink(clock)
    stats = drive(fleet_programme(small_plan()), [link], Outputs(tmp_path), clock, clock.now)
    sent = lines(tmp_path / "sent.jsonl")
    assert stats.done and stats.published == stats.acknowledged == len(link.sent) == 40
    assert stats.late == stats.in_flight == 0
    assert all(0 <= line["published"] - line["time"] <= 2000 for line in sent)
    assert [json.loads(body)["ts"] * 1000 for _, body in link.sent] == [s["time"] for s in sent]


def test_the_folder_holds_labels_and_marks_what_was_sent_with_a_fault(tmp_path: Path) -> None:
    plan = small_plan(duration_s=180.0, devices=20)
    programme = fleet_programme(plan)
    clock = Clock(until=START + 181 * MICROS)
    drive(programme, [FakeLink(clock)], Outputs(tmp_path), clock, clock.now)
    labels = lines(tmp_path / "labels.jsonl")
    assert [label["kind"] for label in labels] == [fault.kind for fault in programme.labels]
    assert set(labels[0]) == {"device", "kind", "channel", "start", "end", "size"}
    marked = {(s["device"], s["time"]) for s in lines(tmp_path / "sent.jsonl") if "fault" in s}
    for label in labels:
        assert (label["device"], label["start"]) in marked
        assert (label["device"], label["end"]) not in marked
    summary = json.loads((tmp_path / "fleet.json").read_text("utf-8"))
    assert summary["published"] == summary["acknowledged"] == 3600
    assert summary["plan"]["seed"] == 1


def test_each_link_carries_up_to_a_hundred_devices(tmp_path: Path) -> None:
    plan = small_plan(devices=PER_CONNECTION + 20, duration_s=1.0)
    clock = Clock(until=START + 2 * MICROS)
    links = [FakeLink(clock), FakeLink(clock)]
    drive(fleet_programme(plan), links, Outputs(tmp_path), clock, clock.now)
    assert [len(link.sent) for link in links] == [100, 20]


def alert(clock: Clock, at_s: float, valid_s: float, **more: Any) -> Message:
    body = {"id": "a", "device": "pump-0001", "valid_until": START + int(valid_s * MICROS), **more}
    return Message("haltere/p1/alert", json.dumps(body).encode(), START + int(at_s * MICROS))


def test_an_alert_is_written_with_its_arrival_and_acknowledged(tmp_path: Path) -> None:
    clock = Clock(until=START + 15 * MICROS)
    link = FakeLink(clock)
    one = alert(clock, at_s=12.0, valid_s=60.0, reason="spike")  # after the last message
    link.alerts = [one]
    stats = drive(fleet_programme(small_plan()), [link], Outputs(tmp_path), clock, clock.now)
    (line,) = lines(tmp_path / "alerts.jsonl")
    assert line["arrived"] == START + 12 * MICROS and line["reason"] == "spike"
    assert "expired" not in line
    assert stats.alerts == 1
    assert [batch.acked for batch in link.given if one in batch.messages] == [True]


def test_an_alert_past_its_time_is_recorded_as_expired_and_not_acted_on(tmp_path: Path) -> None:
    clock = Clock(until=START + 12 * MICROS)
    link = FakeLink(clock)
    link.alerts = [alert(clock, at_s=5.0, valid_s=4.0)]
    stats = drive(fleet_programme(small_plan()), [link], Outputs(tmp_path), clock, clock.now)
    assert stats.alerts == 0 and stats.expired == 1
    assert lines(tmp_path / "alerts.jsonl")[0]["expired"] is True


@pytest.mark.parametrize("payload", [b"\xff", b"[1]", b"{}", b"[" * 100, b'{"valid_until":"x"}'])
def test_an_alert_that_is_none_is_counted_and_stops_nothing(tmp_path: Path, payload: bytes) -> None:
    clock = Clock(until=START + 12 * MICROS)
    link = FakeLink(clock)
    link.alerts = [Message("haltere/p1/alert", payload, START)]
    stats = drive(fleet_programme(small_plan()), [link], Outputs(tmp_path), clock, clock.now)
    assert stats.malformed == 1 and stats.published == 40


def test_it_waits_for_the_pubacks_at_the_end_of_the_plan(tmp_path: Path) -> None:
    clock = Clock(until=START + 60 * MICROS)
    link = FakeLink(clock, puback_at=START + 25 * MICROS)
    stats = drive(fleet_programme(small_plan()), [link], Outputs(tmp_path), clock, clock.now)
    assert stats.acknowledged == 40 and stats.in_flight == 0


def test_what_is_never_acknowledged_is_said(tmp_path: Path) -> None:
    clock = Clock(until=START + 60 * MICROS)
    link = FakeLink(clock, puback_at=START + 3600 * MICROS)
    drive(fleet_programme(small_plan()), [link], Outputs(tmp_path), clock, clock.now)
    summary = json.loads((tmp_path / "fleet.json").read_text("utf-8"))
    assert summary["in_flight"] == 40 and summary["acknowledged"] == 0


def test_stopped_early_it_ends_and_still_takes_the_pubacks(tmp_path: Path) -> None:
    clock = Clock(until=START + 4 * MICROS)
    link = FakeLink(clock, puback_at=START + 6 * MICROS)
    stats = drive(fleet_programme(small_plan()), [link], Outputs(tmp_path), clock, clock.now)
    assert not stats.done
    assert 14 <= stats.published <= 18
    assert stats.acknowledged == stats.published


def test_devices_hold_back_while_the_broker_is_away_and_say_that_they_were_late(
    tmp_path: Path,
) -> None:
    plan = small_plan(rate_hz=1000.0, devices=4, duration_s=6.0)
    clock = Clock(until=START + 30 * MICROS)
    link = FakeLink(clock, puback_at=START + 10 * MICROS)
    stats = drive(fleet_programme(plan), [link], Outputs(tmp_path), clock, clock.now)
    assert stats.published == 24_000 > IN_FLIGHT
    assert stats.acknowledged == 24_000
    assert stats.late == 24_000 - IN_FLIGHT
    assert stats.latest_ms * 1000 > LATE


def test_progress_is_told_each_second(tmp_path: Path) -> None:
    seen = []
    clock = Clock(until=START + 12 * MICROS)
    files = Outputs(tmp_path, lambda stats: seen.append(stats.published))
    drive(fleet_programme(small_plan()), [FakeLink(clock)], files, clock, clock.now)
    assert 10 <= len(seen) <= 14
    assert seen == sorted(seen) and seen[-1] == 40


def test_sent_is_on_disk_within_a_second(tmp_path: Path) -> None:
    on_disk = []
    clock = Clock(until=START + 12 * MICROS)

    def look(stats: Stats) -> None:
        on_disk.append((stats.published, len(lines(tmp_path / "sent.jsonl"))))

    drive(
        fleet_programme(small_plan()), [FakeLink(clock)], Outputs(tmp_path, look), clock, clock.now
    )
    assert all(published == written for published, written in on_disk)


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="a folder to write to"):
        Outputs(tmp_path / "file")


# Replay


def recording(tmp_path: Path, text: str, device: str = "pump-7") -> Recording:
    path = tmp_path / "recorded.csv"
    path.write_text(text, "utf-8")
    return open_recording(path, device)


def bodies(recorded: Recording) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in recorded.messages()]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["datetime", "Timestamp", "time", "date"])
def test_the_time_column_and_the_delimiter_are_recognised(
    tmp_path: Path, name: str, delimiter: str
) -> None:
    rows = [[name, "a b", "word", "anomaly"], ["2020-03-09 10:14:33", "1.5", "on", "0"]]
    recorded = recording(tmp_path, "\n".join(delimiter.join(row) for row in rows))
    (message,) = recorded.messages()
    assert message.topic == "fleet/replay/pump-7/telemetry"
    assert message.payload == b'{"ts":"2020-03-09T10:14:33Z","a b":1.5}'
    assert recorded.columns.ignored == ("word",)


@pytest.mark.parametrize(
    "cell",
    [
        "2020-03-09T11:14:33.5+01:00",
        "2020-03-09T10:14:33.5Z",
        "1583748873.5",
        "1583748873500",
        "1583748873500000",
        "1583748873500000000",
    ],
)
def test_iso_and_epoch_times_mean_the_same_instant(tmp_path: Path, cell: str) -> None:
    (message,) = recording(tmp_path, f"time,a\n{cell},1\n").messages()
    assert message.due == 1_583_748_873_500_000


def test_labels_never_travel_and_become_runs(tmp_path: Path) -> None:
    flags = [0, 1, 1, 0, 0, 1]
    rows = "\n".join(f"{100 + n},{n}.5,{flag}" for n, flag in enumerate(flags))
    recorded = recording(tmp_path, f"time,a,anomaly\n{rows}\n")
    assert [(f.kind, f.start // MICROS, f.end // MICROS) for f in recorded.labels] == [
        ("anomaly", 101, 103),
        ("anomaly", 105, 106),
    ]
    assert all(set(body) == {"ts", "a"} for body in bodies(recorded))


def test_a_bad_row_is_left_out_counted_and_named_with_its_line(tmp_path: Path) -> None:
    text = "time,a,b\n100,1,2\n101,n/a,2\n102,1\nsoon,1,2\n103,,2\n104,inf,1\n"
    recorded = recording(tmp_path, text)
    assert [body for body in bodies(recorded)] == [
        {"ts": "1970-01-01T00:01:40Z", "a": 1.0, "b": 2.0},
        {"ts": "1970-01-01T00:01:43Z", "b": 2.0},  # an empty cell is a missing field
    ]
    about = recorded.about()
    assert about["rows"] == 2 and about["bad_rows"] == 4
    path = tmp_path / "recorded.csv"
    assert about["complaints"] == [
        f"{path}, line 3, a: expected a number, received 'n/a'",
        f"{path}, line 4: expected 3 columns, received 2",
        f"{path}, line 5: expected a time, ISO 8601 or epoch, received 'soon'",
        f"{path}, line 7, a: expected a number, received 'inf'",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: expected a header with column names, received an empty file"),
        ("a,b\n1,2\n", "line 1: expected a time column: .*, received columns a, b"),
        ("time,a\n", "received only a header"),
        ("time,a\nx,1\n", "not one good row; .*line 2"),
        ("time,a\n1,up\n", "expected a column of numbers"),
        ("time,a,a\n1,2,3\n", "expected different column names"),
        ("time,a\n9e30,1\n", "a time between the years"),
    ],
)
def test_a_file_that_cannot_be_replayed_is_refused(tmp_path: Path, text: str, said: Any) -> None:
    with pytest.raises(Misconfigured, match=said):
        recording(tmp_path, text)


def test_no_such_file_and_no_such_device_name(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="expected a CSV file, received no such file"):
        open_recording(tmp_path / "none.csv", "a")
    with pytest.raises(Misconfigured, match="a name without"):
        recording(tmp_path, "time,a\n1,2\n", device="a/b")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"time,a\n\xff\xfe,1\n")
    with pytest.raises(Misconfigured, match="a readable CSV file in UTF-8"):
        open_recording(tmp_path / "binary.csv", "a")


def test_the_rhythm_is_the_recorded_one_divided_by_the_speed_with_short_gaps(
    tmp_path: Path,
) -> None:
    recorded = recording(tmp_path, "time,a\n100,1\n101,1\n103,1\n9000,1\n8000,1\n")
    clock = Clock(until=START + 60 * MICROS)
    link = FakeLink(clock)
    programme = replay_programme(recorded, 2.0, START)
    stats = drive(programme, [link], Outputs(tmp_path / "out"), clock, clock.now)
    published = [line["published"] - START for line in lines(tmp_path / "out" / "sent.jsonl")]
    expected = [0, 0.5, 1.5, 1.5 + GAP_S, 1.5 + GAP_S]  # s; backwards does not wait
    assert published == pytest.approx([s * MICROS for s in expected], abs=3000)
    assert stats.done and stats.acknowledged == 5


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(tmp_path: Path, speed: float) -> None:
    recorded = recording(tmp_path, "time,a\n100,1\n")
    with pytest.raises(Misconfigured, match="simulate: speed"):
        replay_programme(recorded, speed, START)


@pytest.mark.skipif(not SKAB.exists(), reason="the recorded SKAB data is not on this machine")
def test_a_recorded_valve_experiment_replays() -> None:
    recorded = open_recording(SKAB, "valve1")
    assert recorded.rows == 1147 and recorded.bad == 0
    assert [name for _, name in recorded.columns.labels] == ["anomaly", "changepoint"]
    assert len(bodies(recorded)[0]) == 9
    assert {fault.kind for fault in recorded.labels} == {"anomaly", "changepoint"}


# The documentation


def documented() -> dict[str, str]:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    return dict(rows)


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        ("spike", [faults.SPIKE_SIGMA, *faults.SPIKE_MESSAGES]),
        ("drift", [faults.DRIFT_SIGMA, faults.DRIFT_RISE_S, faults.DRIFT_S]),
        ("stuck", [faults.STUCK_S]),
        ("dropout", [faults.DROPOUT_S]),
        ("noise", [faults.NOISE_SIGMA, faults.NOISE_S]),
        ("decouple", [faults.DECOUPLE_LOAD, faults.DECOUPLE_RISE_S, faults.DECOUPLE_APART,
                      faults.DECOUPLE_S]),
        ("gps_jump", [faults.GPS_JUMP_M, faults.GPS_JUMP_MESSAGES]),
        ("gps_freeze", [faults.GPS_FREEZE_MOVES_M_S, faults.GPS_FREEZE_S]),
    ],
)  # fmt: skip
def test_the_documented_sizes_are_those_of_the_code(kind: Any, numbers: Any) -> None:
    found = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", documented()[kind])]
    assert found == numbers


def test_every_kind_of_fault_is_documented() -> None:
    assert {kind.value for kind in faults.Kind} <= set(documented())
