"""The schema registry of the tests: a schema that goes in comes out."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.real import Brokers
from tests.registry import Absent, registry

SCHEMA = {"type": "record", "name": "Reading", "fields": [{"name": "value", "type": "double"}]}


def ask(url: str, body: object = None) -> Any:
    """GET; POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    told = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, told), timeout=30) as answer:
        return json.load(answer)


@pytest.mark.broker
def test_a_registered_schema_is_read_back_by_its_id(brokers: Brokers, tmp_path: Path) -> None:
    try:
        with registry(brokers.bootstrap_servers, tmp_path) as url:
            body = {"schema": json.dumps(SCHEMA)}
            schema = ask(f"{url}/subjects/readings-value/versions", body)["id"]
            assert json.loads(ask(f"{url}/schemas/ids/{schema}")["schema"]) == SCHEMA
            assert ask(f"{url}/subjects") == ["readings-value"]
    except Absent as why:
        pytest.skip(f"no schema registry: {why}")
