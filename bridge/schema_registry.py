"""A Confluent schema registry: registers schemas, gives one by its id. Owns its HTTP only.

A user and a password stand in the url, ``https://user:password@registry.example``; they are sent as
basic authentication and shown nowhere.
"""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit

from bridge.errors import HaltereError, Malformed, Misconfigured, Unavailable

REQUEST_S = 30.0
TYPE = "application/vnd.schemaregistry.v1+json"


def register(url: str, subject: str, schema: Mapping[str, Any]) -> int:
    """The id of a schema in a Confluent schema registry, registered if need be.

    Raises:
        Unavailable: the registry does not answer.
        Misconfigured: it refuses the schema.
    """
    body = json.dumps({"schema": json.dumps(schema)}).encode()
    answer = _asked(url, f"subjects/{subject}/versions", body)
    try:
        return int(answer["id"])
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(_where(url), "a schema registry that answers", str(error)) from None


class Registry:
    """Schemas by their id, each asked for once.

    Args:
        url: of the registry.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._known: dict[int, tuple[str, str]] = {}

    def schema(self, identifier: int) -> tuple[str, str]:
        """The text of a schema and its type: ``AVRO``, ``JSON`` or ``PROTOBUF``.

        Raises:
            Malformed: the registry has none of this id.
            Unavailable: it does not answer.
            Misconfigured: it refuses us.
        """
        if identifier not in self._known:
            answer = _asked(self._url, f"schemas/ids/{identifier}")
            self._known[identifier] = (str(answer["schema"]), answer.get("schemaType", "AVRO"))
        return self._known[identifier]


def _asked(url: str, path: str, body: bytes | None = None) -> dict[str, Any]:
    where = _where(url)
    if not url.startswith(("http://", "https://")):
        raise Misconfigured(where, "http:// or https://", repr(url))
    place, headers = _addressed(url)
    request = urllib.request.Request(f"{place}/{path}", body, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:  # noqa: S310
            told = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(where, path, error.code) from None
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(where, "a schema registry that answers", str(error)) from None
    if not isinstance(told, dict):
        raise Unavailable(where, "a schema registry that answers", repr(told)[:80])
    return told


def _refusal(where: str, path: str, code: int) -> HaltereError:
    if code == HTTPStatus.NOT_FOUND and path.startswith("schemas/ids/"):
        return Malformed(where, "a schema that is registered", path.removeprefix("schemas/"))
    family = Misconfigured if code < HTTPStatus.INTERNAL_SERVER_ERROR else Unavailable
    return family(where, f"an answer to {path}", f"HTTP {code}")


def _addressed(url: str) -> tuple[str, dict[str, str]]:
    """The url without its login, and the headers that carry it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    headers = {"Content-Type": TYPE, "Accept": TYPE}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return parts._replace(netloc=host).geturl().rstrip("/"), headers


def _where(url: str) -> str:
    parts = urlsplit(url)
    return f"schema_registry.url {parts._replace(netloc=parts.netloc.rpartition('@')[2]).geturl()}"
