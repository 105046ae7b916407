"""``haltere explain`` and ``haltere normalise``: what becomes of messages, without a broker."""

import base64
import binascii
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge.command import Config, Json, say, settings
from bridge.errors import Malformed, Misconfigured


def explain(  # noqa: PLR0913, PLR0917  each is an option of the command line
    topic: Annotated[str, typer.Argument(help="MQTT topic")],
    payload: Annotated[str, typer.Argument(help="the payload; - reads standard input")],
    config: Config = None,
    hexadecimal: Annotated[bool, typer.Option("--hex", help="PAYLOAD is hexadecimal")] = False,
    base_64: Annotated[bool, typer.Option("--base64", help="PAYLOAD is base64")] = False,
    as_json: Json = False,
) -> None:
    """What would become of this message, and why.

    Example: haltere explain plant/7/telemetry '{"temp_C": 21.5}'

    Example: haltere explain plant/7/telemetry a16474656d7015 --hex
    """
    from bridge.check import explained  # noqa: PLC0415

    if not topic or set(topic) & set("+#"):
        raise Misconfigured("TOPIC", "the topic of a message: not empty, no + and #", repr(topic))
    if hexadecimal and base_64:
        raise Misconfigured("--hex, --base64", "one of them", "both")
    data = sys.stdin.buffer.read() if payload == "-" else os.fsencode(payload)
    if hexadecimal or base_64:
        data = _decoded(data, "hexadecimal" if hexadecimal else "base64")
    print(explained(settings(config), topic, data, as_json))


def normalise(
    file: Annotated[
        Path,
        typer.Argument(help='JSON lines {"id", "topic", "payload" or "payload_b64"}; -: stdin'),
    ],
    config: Config = None,
) -> None:
    """Normalise recorded messages offline: JSON lines in and out, no broker.

    A line that is no message is told on standard error; then the exit code is 1.

    Example: haltere normalise messages.jsonl > readings.jsonl
    """
    from bridge.normalise import Normaliser  # noqa: PLC0415
    from bridge.offline import normalise_line  # noqa: PLC0415

    normaliser = Normaliser(settings(config).route)
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Misconfigured(str(file), "a file to read", str(error.strerror)) from None
    bad = 0
    for number, line in enumerate(data.splitlines(), 1):
        try:
            if line.strip():
                print(json.dumps(normalise_line(line, f"{file}:{number}", normaliser)))
        except Malformed as error:
            bad += 1
            say(f"haltere: {error}")
    if bad:
        raise typer.Exit(1)


def _decoded(text: bytes, notation: str) -> bytes:
    try:
        if notation == "base64":
            return base64.b64decode(b"".join(text.split()), validate=True)
        digits = b"".join(text.split())
        if len(digits) % 2:
            raise Misconfigured("PAYLOAD", "two hexadecimal digits for each byte", f"{len(digits)}")
        return bytes.fromhex(digits.decode("ascii", "replace"))
    except (ValueError, binascii.Error) as error:
        raise Misconfigured("PAYLOAD", notation, f"{text[:40]!r} ({error})") from None
