"""What the settings say of TLS and of the login, in the words of librdkafka. No I/O."""

from bridge.settings import Kafka

_PROTOCOLS = {  # TLS, login
    (False, False): "PLAINTEXT",
    (True, False): "SSL",
    (False, True): "SASL_PLAINTEXT",
    (True, True): "SASL_SSL",
}


def security(kafka: Kafka) -> dict[str, str]:
    """Options of librdkafka; none for a cluster without TLS and without a login.

    >>> security(Kafka(tls=True, tls_ca_file="ca.pem"))
    {'security.protocol': 'SSL', 'ssl.ca.location': 'ca.pem'}
    """
    if not (kafka.tls or kafka.sasl_mechanism):
        return {}
    protocol = _PROTOCOLS[kafka.tls, bool(kafka.sasl_mechanism)]
    options = {"security.protocol": protocol} | _tls(kafka) | _login(kafka)
    return {name: value for name, value in options.items() if value}


def _tls(kafka: Kafka) -> dict[str, str]:
    return {
        "ssl.ca.location": kafka.tls_ca_file,
        "ssl.certificate.location": kafka.tls_cert_file,
        "ssl.key.location": kafka.tls_key_file,
        "ssl.key.password": kafka.tls_key_password.get_secret_value(),
        "ssl.endpoint.identification.algorithm": "" if kafka.tls_verify_hostname else "none",
    }


def _login(kafka: Kafka) -> dict[str, str]:
    if kafka.sasl_mechanism == "OAUTHBEARER":
        return {
            "sasl.mechanism": kafka.sasl_mechanism,
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": kafka.oauth_token_url,
            "sasl.oauthbearer.client.id": kafka.oauth_client_id,
            "sasl.oauthbearer.client.secret": kafka.oauth_client_secret.get_secret_value(),
            "sasl.oauthbearer.scope": kafka.oauth_scope,
        }
    return {
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": kafka.sasl_password.get_secret_value(),
    }
