"""Against a small real HTTP server that answers as a Confluent schema registry does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bridge import wire
from bridge.child import free_endpoint
from bridge.contracts import DeadLetter, Reading
from bridge.errors import HaltereError, Misconfigured, Unavailable
from bridge.ingest import encoder
from bridge.schema_registry import register
from bridge.settings import SchemaRegistry, Settings


class Registry:
    """Gives each schema an id, or answers everything with one status and body."""

    def __init__(self, status: int = 200, body: bytes | None = None) -> None:
        self.status = status
        self.body = body
        self.url = ""
        self.schemas: dict[str, int] = {}
        self.paths: list[str] = []

    def answer(self, path: str, sent: bytes) -> bytes:
        self.paths.append(path)
        if self.body is not None:
            return self.body
        schema = json.loads(sent)["schema"]
        return json.dumps({"id": self.schemas.setdefault(schema, len(self.schemas) + 1)}).encode()


@contextmanager
def running(registry: Registry) -> Iterator[Registry]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            body = registry.answer(self.path, sent)
            self.send_response(registry.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        registry.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()


def test_a_schema_is_registered_under_its_subject_and_keeps_its_id() -> None:
    with running(Registry()) as registry:
        for url in (registry.url, f"{registry.url}/"):
            assert register(url, "iot.readings-value", wire.SCHEMAS[Reading]) == 1
        assert register(registry.url, "iot.deadletters-value", wire.SCHEMAS[DeadLetter]) == 2
    assert registry.paths[0] == registry.paths[1] == "/subjects/iot.readings-value/versions"
    assert json.loads(next(iter(registry.schemas))) == wire.SCHEMAS[Reading]


def test_with_a_registry_the_values_of_ingest_have_its_frame() -> None:
    letter = DeadLetter("t", b"", "decode", "payload", "JSON", "x", 1)
    with running(Registry()) as registry:
        told = Settings(schema_registry=SchemaRegistry(url=registry.url))
        encoded = encoder(told).encode(letter)
    assert encoded[:5] == b"\0\0\0\0\2"
    assert wire.decode(DeadLetter, encoded) == letter


@pytest.mark.parametrize(
    ("status", "body", "family"),
    [
        (401, b"", Misconfigured),
        (404, b"", Misconfigured),
        (409, b'{"error_code": 409, "message": "incompatible"}', Misconfigured),
        (422, b"", Misconfigured),
        (500, b"", Unavailable),
        (503, b"", Unavailable),
        (200, b"<html>", Unavailable),
        (200, b"[]", Unavailable),
        (200, b"{}", Unavailable),
        (200, b'{"id": "x"}', Unavailable),
    ],
)
def test_an_answer_that_is_no_id_is_an_error_of_its_family(
    status: int, body: bytes, family: type[HaltereError]
) -> None:
    with (
        running(Registry(status, body)) as registry,
        pytest.raises(family, match=f"schema_registry.url {registry.url}"),
    ):
        register(registry.url, "a", {})


def test_where_nobody_listens_it_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="a schema registry that answers"):
        register(f"http://{free_endpoint()}", "a", {})


@pytest.mark.parametrize("url", ["nonsense", "localhost:8081", "file:///etc/hosts"])
def test_a_url_that_is_none_is_misconfigured(url: str) -> None:
    with pytest.raises(Misconfigured, match="http://"):
        register(url, "a", {})
