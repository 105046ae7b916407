"""Certificates made for a test: an authority, and what it has signed, in a folder as PEM files."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key; Kafka wants both in one file."""

    cert: str
    key: str
    both: str


class Authority:
    """Signs for whoever the test names."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._ca = trustme.CA()
        self.cert = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.cert)

    def issue(self, name: str, host: str = "", password: str = "", expired: bool = False) -> Pair:
        """For a host, or for a user of this name."""
        issued = self._ca.issue_cert(
            host or f"{name}.example",
            common_name=name,
            not_before=LONG_AGO if expired else None,
            not_after=LONG_AGO.replace(year=2021) if expired else None,
        )
        sealed: KeySerializationEncryption = NoEncryption()
        if password:
            sealed = BestAvailableEncryption(password.encode())
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        paths = [str(self._folder / f"{name}.{kind}") for kind in ("pem", "key", "both")]
        for path, content in zip(paths, (chain, pem, pem + chain), strict=True):
            Path(path).write_bytes(content)
        return Pair(*paths)
