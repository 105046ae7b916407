"""A schema registry that is down, wants a login or answers oddly: an error, and nothing is lost."""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import tensorflow as tf

from bridge.child import free_endpoint
from bridge.errors import Malformed, Misconfigured, Unavailable
from bridge.settings import Kafka
from ml import KafkaDataset
from tests.ml.decoders.avro import encode, of, record
from tests.ml.topic import committed, fill, topic

pytestmark = pytest.mark.broker

SCHEMA = record(t=of("double"), unit=of("string", default="Cel"), id=of("string"))


def avro(name: str, kafka: Kafka, url: str, **options: Any) -> KafkaDataset:
    told: dict[str, Any] = {"eof": True, "batch_rows": 10, "decode": "avro", "registry": url}
    return KafkaDataset(name, kafka, schema=SCHEMA, **(told | options))


@contextmanager
def answering(
    port: int = 0, login: str = "", status: int = 200, body: Any = None, moved: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """The host of a server whose one schema is `SCHEMA`, and the Authorization of each request."""
    logins: list[str] = []
    wanted = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            logins.append(self.headers.get("Authorization", ""))
            told = json.dumps({"schema": json.dumps(SCHEMA)} if body is None else body).encode()
            self.send_response(status if logins[-1] == wanted else 401)
            self.send_header("Location", f"{moved}{self.path}")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", logins
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def numbers(kafka_settings: Kafka) -> str:
    """A topic of 30 records of `SCHEMA`, whose id is 5."""
    name = topic(kafka_settings)
    bodies = encode(SCHEMA, *({"t": n, "id": f"{n}"} for n in range(30)))
    fill(kafka_settings, name, [b"\0\0\0\0\5" + body for body in bodies])
    return name


@pytest.mark.parametrize("misfit", ["raise", "drop"])
def test_a_registry_that_is_down_is_waited_for_and_no_record_is_dropped(
    kafka_settings: Kafka, numbers: str, misfit: str
) -> None:
    where = free_endpoint()
    url = f"http://{where}"
    found = avro(numbers, kafka_settings, url, group=numbers, misfit=misfit)
    told = f"Unavailable: schema_registry.url {url}: expected a schema registry that answers"
    with pytest.raises(tf.errors.InvalidArgumentError, match=told):
        list(found)
    assert isinstance(found.failure, Unavailable)
    assert found.misfits == 0
    found.commit()
    assert committed(kafka_settings, numbers, [(numbers, 0)])[0] < 0
    with answering(where.port) as (_, asked):
        for batch in found:
            found.commit(batch)
    assert len(asked) == 1
    assert committed(kafka_settings, numbers, [(numbers, 0)]) == [30]


ODD: dict[str, tuple[int, Any, type[Exception]]] = {
    "an error of its own": (500, {}, Unavailable),
    "a proxy that is alone": (503, {}, Unavailable),
    "no schema": (200, {}, Unavailable),
    "too many requests": (429, {}, Unavailable),
    "a reference to nothing": (200, {"schema": "{}", "references": [{"name": "a"}]}, Unavailable),
    "a list": (200, [], Unavailable),
    "access denied": (403, {}, Misconfigured),
    "no registry at this path": (404, {"error_code": 404, "message": "Not Found"}, Misconfigured),
    "no such schema": (404, {"error_code": 40403, "message": "Schema not found"}, Malformed),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_answer_is_an_error_of_its_family(
    kafka_settings: Kafka, numbers: str, case: str
) -> None:
    status, body, family = ODD[case]
    with answering(status=status, body=body) as (host, _):
        found = avro(numbers, kafka_settings, f"http://{host}")
        with pytest.raises(tf.errors.InvalidArgumentError):
            list(found)
    assert type(found.failure) is family


LOGIN, TYPED = "watch:p@ss/ §", "watch:p%40ss%2F%20%C2%A7"


def test_a_login_is_sent_and_the_schema_is_asked_for_once(
    kafka_settings: Kafka, numbers: str
) -> None:
    with answering(login=LOGIN) as (host, logins):
        found = avro(numbers, kafka_settings, f"http://{TYPED}@{host}/")
        assert [t for b in found for t in b["value"]["t"].numpy().tolist()] == list(range(30))
    assert logins == [f"Basic {base64.b64encode(LOGIN.encode()).decode()}"]


WRONG = {
    "a login that is refused": "http://user:secret@{host}",
    "nobody there": "http://user:secret@{nobody}",
    "another scheme": "htps://user:secret@{host}",
    "no scheme": "user:secret@{host}",
    "a password that is not quoted": "http://user:top/secret@{host}",
}


@pytest.mark.parametrize("case", WRONG)
def test_no_error_shows_a_password(
    kafka_settings: Kafka, numbers: str, case: str, capfd: Any, caplog: Any
) -> None:
    with answering(login=LOGIN) as (host, _):
        url = WRONG[case].format(host=host, nobody=free_endpoint())
        with pytest.raises((tf.errors.InvalidArgumentError, Misconfigured)) as raised:
            list(avro(numbers, kafka_settings, url))
    assert "secret" not in str(raised.value)
    assert "secret" not in caplog.text
    assert "secret" not in "".join(capfd.readouterr())


def test_no_plan_shows_a_password(kafka_settings: Kafka) -> None:
    found = avro("a", kafka_settings, "http://user:hunter2@localhost")
    assert "hunter2" not in f"{found!r} {found._plan!r}"


def test_a_login_is_not_sent_to_where_the_registry_redirects(
    kafka_settings: Kafka, numbers: str
) -> None:
    with (
        answering() as (other, asked),
        answering(0, LOGIN, 307, moved=f"http://{other}") as (host, _),
        contextlib.suppress(tf.errors.InvalidArgumentError),  # or what it redirects to is not asked
    ):
        list(avro(numbers, kafka_settings, f"http://{TYPED}@{host}"))
    assert asked in ([], [""])
