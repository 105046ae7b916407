"""The only file that knows ssl: the context of a TLS connection, and why one was refused.

TLS 1.2 or later; the certificate of the other side is verified, and its name unless told not to.
"""

import socket
import ssl
from contextlib import suppress

from bridge.errors import HaltereError, Misconfigured, Unavailable
from bridge.settings import Mqtt

TRIAL_S = 5.0  # for one step of a trial connection
VERDICT_S = 0.5  # in TLS 1.3 a refused client hears of it after its handshake


class _Closing(ssl.SSLSocket):
    """Closed by a failed handshake, after which paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except ConnectionError as error:
            self.close()
            raise ssl.SSLEOFError(ssl.SSLErrorNumber.SSL_ERROR_EOF, str(error)) from None
        except OSError:
            self.close()
            raise


def context(mqtt: Mqtt) -> ssl.SSLContext | None:
    """What the settings say of TLS; None where they want none.

    Raises:
        Misconfigured: a file is missing, is no PEM, or does not fit its password or its partner.
    """
    if not mqtt.tls:
        return None
    made = _trusting(mqtt)
    made.sslsocket_class = _Closing
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = mqtt.tls_verify_hostname
    if mqtt.tls_cert_file:
        _identify(made, mqtt)
    return made


def _trusting(mqtt: Mqtt) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=mqtt.tls_ca_file or None)
    except OSError as error:
        raise Misconfigured(
            "mqtt.tls_ca_file",
            "the certificates of authorities, in PEM",
            f"{mqtt.tls_ca_file} ({_reason(error)})",
            "name the file that who runs the broker gives you, or none for the system's own",
        ) from None


def _identify(made: ssl.SSLContext, mqtt: Mqtt) -> None:
    password = mqtt.tls_key_password.get_secret_value()
    files = (mqtt.tls_cert_file, mqtt.tls_key_file)
    try:
        made.load_cert_chain(*files, lambda: password)  # without one it would ask the terminal
    except (OSError, ValueError) as error:  # ValueError: a password longer than OpenSSL takes
        raise Misconfigured(
            "mqtt.tls_cert_file and mqtt.tls_key_file",
            "a certificate and its private key, in PEM",
            f"{' and '.join(files)} ({_reason(error)})",
            "is it the key of this certificate, and mqtt.tls_key_password right?",
        ) from None


def _reason(error: Exception) -> str:
    told = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(told or error) or type(error).__name__


def explained(mqtt: Mqtt, error: OSError) -> HaltereError:
    """Why no connection came about: as one of ours, with what to do."""
    where, reason = f"mqtt {mqtt.host}:{mqtt.port}", _reason(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Misconfigured(
            where,
            "a certificate of the broker that can be verified",
            error.verify_message,
            "set mqtt.tls_ca_file, or mqtt.host to a name in the certificate",
        )
    if isinstance(error, ssl.SSLError) and "ALERT" in reason:
        return Misconfigured(
            where,
            "a broker that accepts our side of TLS",
            reason,
            "set mqtt.tls_cert_file and mqtt.tls_key_file to what this broker accepts",
        )
    if isinstance(error, ssl.SSLError):
        kind = Misconfigured if reason == "WRONG_VERSION_NUMBER" else Unavailable
        remedy = "set mqtt.port to its TLS port, or mqtt.tls to false"
        return kind(where, "a broker that speaks TLS there", reason, remedy)
    remedy = "start one with `haltere brokers`, or set mqtt.host and mqtt.port"
    if mqtt.transport == "websockets":
        remedy += ", mqtt.transport and mqtt.websocket_path"
    return Unavailable(where, "an MQTT broker that answers", reason, remedy)


def examined(mqtt: Mqtt, made: ssl.SSLContext | None) -> HaltereError:
    """Why a broker closed a connection before it had accepted it, found out by another one."""
    try:
        with socket.create_connection((mqtt.host, mqtt.port), TRIAL_S) as line:
            return _refused(mqtt, made, line)
    except OSError as error:
        return explained(mqtt, error)


def _refused(mqtt: Mqtt, made: ssl.SSLContext | None, line: socket.socket) -> HaltereError:
    where = f"mqtt {mqtt.host}:{mqtt.port}"
    if made is None and _answers_tls(line):
        return Misconfigured(
            where, "a broker that speaks plain MQTT there", "TLS", "set mqtt.tls to true"
        )
    if made is not None:
        with made.wrap_socket(line, server_hostname=mqtt.host) as secured:
            secured.settimeout(VERDICT_S)
            with suppress(TimeoutError):
                secured.recv(1)
    return Unavailable(
        where,
        "an MQTT broker that answers",
        "the end of the connection before it was accepted",
        "is mqtt.transport right, and mqtt.port one of MQTT?",
    )


def _answers_tls(line: socket.socket) -> bool:
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE  # nothing is sent to it
    try:
        anybody.wrap_socket(line).close()
    except ssl.SSLError as error:
        return "ALERT" in _reason(error)
    except OSError:
        return False
    return True
