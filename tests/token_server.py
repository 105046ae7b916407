"""A tiny identity provider on this machine: OIDC tokens for one client, without a signature."""

import json
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

LIFE_S = 600


class _Tokens(BaseHTTPRequestHandler):
    client = ""  # its id and its secret, as HTTP sends them
    scopes: list[str]

    def do_POST(self) -> None:
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.scopes += asked.get("scope", [])
        known = self.headers["Authorization"] == f"Basic {b64encode(self.client.encode()).decode()}"
        self._answer(*((200, _grant()) if known else (401, {"error": "invalid_client"})))

    def _answer(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Silence."""


def _grant() -> dict[str, object]:
    now = int(time.time())
    header, claims = {"alg": "none"}, {"sub": "haltere", "iat": now, "exp": now + LIFE_S}
    parts = [urlsafe_b64encode(json.dumps(part).encode()) for part in (header, claims)]
    token = ".".join([part.decode().rstrip("=") for part in parts]) + "."
    return {"access_token": token, "token_type": "Bearer", "expires_in": LIFE_S}


@contextmanager
def tokens(client: str) -> Iterator[tuple[str, list[str]]]:
    """Its url, and the scopes that were asked for; ``client`` is ``id:secret``."""
    scopes: list[str] = []
    kind = type("Tokens", (_Tokens,), {"client": client, "scopes": scopes})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token", scopes
        server.shutdown()
        thread.join()
