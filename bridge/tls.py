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


def context(mqtt: Mqtt) -> ssl.SSLContext | None:
    """What the settings say of TLS; None where they want none.

    Raises:
        Misconfigured: a file is missing, is no PEM, or does not fit its password or its partner.
    """
    if not mqtt.tls:
        return None
    made = _trusting(mqtt)
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
            f"{mqtt.tls_ca_file} ({error.strerror or error})",
        ) from None


def _identify(made: ssl.SSLContext, mqtt: Mqtt) -> None:
    password = mqtt.tls_key_password.get_secret_value()
    files = (mqtt.tls_cert_file, mqtt.tls_key_file)
    try:
        made.load_cert_chain(*files, lambda: password)  # without one it would ask the terminal
    except (OSError, ValueError) as error:  # ValueError: a password longer than OpenSSL takes
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise Misconfigured(
            "mqtt.tls_cert_file and mqtt.tls_key_file",
            "a certificate and its private key, in PEM",
            f"{' and '.join(files)} ({reason})",
            "is it the key of this certificate, and mqtt.tls_key_password right?",
        ) from None


def explained(where: str, error: OSError) -> HaltereError:
    """Why no connection came about: as one of ours, with what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Misconfigured(
            where,
            "a certificate of the broker that can be verified",
            error.verify_message,
            "set mqtt.tls_ca_file, or mqtt.host to a name in the certificate",
        )
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        return Misconfigured(
            where,
            "a broker that accepts our side of TLS",
            str(error.reason),
            "set mqtt.tls_cert_file and mqtt.tls_key_file to what this broker accepts",
        )
    if isinstance(error, ssl.SSLError):
        kind = Misconfigured if error.reason == "WRONG_VERSION_NUMBER" else Unavailable
        remedy = "set mqtt.port to its TLS port, or mqtt.tls to false"
        return kind(where, "a broker that speaks TLS there", error.reason or str(error), remedy)
    return Unavailable(
        where,
        "an MQTT broker that answers",
        str(error) or type(error).__name__,
        "start one with `haltere brokers`, or set mqtt.host and mqtt.port",
    )


def examined(mqtt: Mqtt, made: ssl.SSLContext | None) -> HaltereError:
    """Why a broker closed a connection before it had accepted it, found out by another one."""
    where = f"mqtt {mqtt.host}:{mqtt.port}"
    try:
        with socket.create_connection((mqtt.host, mqtt.port), TRIAL_S) as line:
            return _refused(where, mqtt, made, line)
    except OSError as error:
        return explained(where, error)


def _refused(
    where: str, mqtt: Mqtt, made: ssl.SSLContext | None, line: socket.socket
) -> HaltereError:
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
        return "ALERT" in (error.reason or "")
    except OSError:
        return False
    return True
