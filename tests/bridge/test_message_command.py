"""``haltere explain`` and ``haltere normalise`` as a person types them."""

import base64
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import haltere
from bridge.errors import Misconfigured

CBOR = b"\xa1dtemp\x18\x15"  # {"temp": 21}


def run(*arguments: str, sent: bytes | None = None) -> str:
    result = CliRunner().invoke(haltere.app, list(arguments), input=sent, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_payload_of_bytes_is_given_in_hex_or_base64_or_on_standard_input() -> None:
    shown = [
        run("explain", "plant/7", CBOR.hex(), "--hex"),
        run("explain", "plant/7", base64.b64encode(CBOR).decode(), "--base64"),
        run("explain", "plant/7", "-", sent=CBOR),
    ]
    assert len(set(shown)) == 1
    assert "temp 21 -> temperature = 21.0 Cel" in shown[0]


@pytest.mark.parametrize("option", ["--hex", "--base64"])
def test_what_is_no_such_notation_is_named(option: str) -> None:
    with pytest.raises(Misconfigured, match="PAYLOAD: expected"):
        run("explain", "plant/7", "é?", option)


def test_an_explanation_for_programs_has_the_same_facts() -> None:
    told = json.loads(run("explain", "plant/7", '{"tempF": 50, "ts": "noon"}', "--json"))
    assert (told["format"], told["outcome"], told["readings"]) == ("json", "readings", 1)
    assert {f["path"]: (f["name"], f["note"]) for f in told["fields"]} == {
        "tempF": ("temperature", ""),
        "ts": ("", "no absolute time"),
    }


def test_messages_are_normalised_from_a_file_and_from_standard_input(tmp_path: Path) -> None:
    lines = [
        {"id": "1", "topic": "a/b", "payload": '{"temp": 21}'},
        {"id": "2", "topic": "a/b", "payload_b64": base64.b64encode(CBOR).decode()},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    file = tmp_path / "messages.jsonl"
    file.write_text(text + "\n\n", "utf-8")
    shown = run("normalise", str(file))
    assert shown == run("normalise", "-", sent=text.encode())
    answers = [json.loads(line) for line in shown.splitlines()]
    assert [a["id"] for a in answers] == ["1", "2"]
    assert answers[0]["readings"] == answers[1]["readings"]


def test_a_file_that_is_not_there_and_a_line_that_is_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="a file to read"):
        run("normalise", str(tmp_path / "none"))
    file = tmp_path / "messages.jsonl"
    file.write_text('{"id": 1, "topic": "a"}\n{"id": 2, "topic": "a", "payload": "1"}\n', "utf-8")
    result = CliRunner().invoke(haltere.app, ["normalise", str(file)])
    assert result.exit_code == 1
    assert "messages.jsonl:1: expected payload (text) or payload_b64" in result.stderr
    assert json.loads(result.stdout)["id"] == "2"


REFUSED = [
    (("", "1"), "TOPIC"),
    (("plant/#", "1"), "TOPIC"),
    (("x", "abc", "--hex"), "two hexadecimal digits"),
    (("x", "ab", "--hex", "--base64"), "one of them"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        run("explain", *arguments)


def test_bytes_that_are_no_text_are_taken_as_they_are() -> None:
    assert "dead letter" in run("explain", "plant/7", "\udcff\x01")
