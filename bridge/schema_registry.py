"""A Confluent schema registry: registers schemas, gives one by its id. Owns its HTTP only.

A user and a password stand in the url, ``https://user:password@registry.example``; they are sent as
basic authentication and shown nowhere.
"""

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from bridge.errors import HaltereError, Malformed, Misconfigured, Unavailable

REQUEST_S = 30.0
NO_SCHEMA = 40403  # in the registry's words
LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
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
            self._known[identifier] = self._found(f"schemas/ids/{identifier}")
        return self._known[identifier]

    def _found(self, path: str) -> tuple[str, str]:
        text, kind, references = self._answer(path)
        if references and kind == "AVRO":
            named: dict[str, Any] = {}
            try:
                self._collect(references, named)
                text = json.dumps(_inlined(json.loads(text), named, ""))
            except (KeyError, TypeError, ValueError) as error:
                received = f"references that lead nowhere: {error!r}"
                raise Unavailable(_where(self._url), f"an answer to {path}", received) from None
        return text, kind

    def _collect(self, references: list[Any], named: dict[str, Any]) -> None:
        """The types that are referred to, each once, whoever refers to it."""
        for said in references:
            if said["name"] in named:
                continue
            place = f"subjects/{quote(said['subject'], '')}/versions/{said['version']}"
            text, _, further = self._answer(place)
            named[said["name"]] = json.loads(text)
            self._collect(further, named)

    def _answer(self, path: str) -> tuple[str, str, list[Any]]:
        answer = _asked(self._url, path)
        text = answer.get("schema")
        if not isinstance(text, str):
            raise Unavailable(_where(self._url), f"a schema in the answer to {path}", "none")
        return text, answer.get("schemaType", "AVRO"), answer.get("references") or []


def _inlined(schema: Any, named: dict[str, Any], space: str) -> Any:
    """An Avro schema with the types that it only names, each where it is named first."""
    if isinstance(schema, str):
        name = next((n for n in (schema, f"{space}.{schema}") if n in named), None)
        if name is None:
            return schema
        found = named.pop(name)
        return _inlined({"namespace": ""} | found, named, "") if isinstance(found, dict) else found
    if isinstance(schema, list):
        return [_inlined(one, named, space) for one in schema]
    if not isinstance(schema, dict):
        return schema
    space = schema.get("namespace", space)
    inside = ("type", "items", "values")
    found = {k: _inlined(v, named, space) if k in inside else v for k, v in schema.items()}
    if "fields" in schema:
        found["fields"] = [_inlined(field, named, space) for field in schema["fields"]]
    return found


def _asked(url: str, path: str, body: bytes | None = None) -> dict[str, Any]:
    where = _where(url)
    place, login = _addressed(url, where)
    request = urllib.request.Request(  # noqa: S310
        f"{place}/{path}", body, {"Content-Type": TYPE, "Accept": TYPE}
    )
    if login:
        request.add_unredirected_header("Authorization", login)  # it is this server's alone
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:  # noqa: S310
            told = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(where, path, error) from None
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(where, "a schema registry that answers", str(error)) from None
    if not isinstance(told, dict):
        raise Unavailable(where, "a schema registry that answers", repr(told)[:80])
    return told


def _refusal(where: str, path: str, error: urllib.error.HTTPError) -> HaltereError:
    if error.code == HTTPStatus.NOT_FOUND and path.startswith("schemas/ids/"):
        with suppress(OSError, ValueError, AttributeError):
            if json.load(error).get("error_code") == NO_SCHEMA:
                received = path.removeprefix("schemas/")
                return Malformed(where, "a schema that is registered", received)
    waits = error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code in LATER
    family = Unavailable if waits else Misconfigured
    return family(where, f"an answer to {path}", f"HTTP {error.code}")


def _addressed(url: str, where: str) -> tuple[str, str]:
    """The url without its login, and the login as a header says it."""
    if not url.startswith(("http://", "https://")):
        raise Misconfigured(where, "http:// or https://", "another beginning")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Misconfigured(where, "a url", str(error)) from None
    if "@" in url and "@" not in parts.netloc:
        expected = "a login with its /, ?, # and @ percent-encoded"
        raise Misconfigured(where, expected, "one that is not")
    host, login = parts.netloc.rpartition("@")[2], ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = "Basic " + base64.b64encode(pair.encode()).decode()
    return parts._replace(netloc=host).geturl().rstrip("/"), login


def _where(url: str) -> str:
    """Without what may be a login, however wrong it is written."""
    return "schema_registry.url " + re.sub(r"^([a-z]+://)?.*@", r"\1", url)
