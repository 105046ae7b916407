"""A Confluent schema registry: registers a schema, gives its id. Owns its HTTP; no decisions."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException
from typing import Any

from bridge.errors import Misconfigured, Unavailable

REQUEST_S = 30.0


def register(url: str, subject: str, schema: Mapping[str, Any]) -> int:
    """The id of a schema in a Confluent schema registry, registered if need be.

    Raises:
        Unavailable: the registry does not answer.
        Misconfigured: it refuses the schema.
    """
    where = f"schema_registry.url {url}"
    body = json.dumps({"schema": json.dumps(schema)}).encode()
    if not url.startswith(("http://", "https://")):
        raise Misconfigured(where, "http:// or https://", repr(url))
    request = urllib.request.Request(  # noqa: S310
        f"{url.rstrip('/')}/subjects/{subject}/versions",
        body,
        {"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:  # noqa: S310
            return int(json.load(answer)["id"])
    except urllib.error.HTTPError as error:
        error.close()
        ours = error.code < HTTPStatus.INTERNAL_SERVER_ERROR
        family = Misconfigured if ours else Unavailable
        raise family(where, "a registered schema", f"HTTP {error.code}") from None
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        raise Unavailable(where, "a schema registry that answers", str(error)) from None
