"""Every error name of librdkafka and the Kafka protocol -> the family of `bridge.errors`. A table.

A test fails when the library grows a name that is not here. Names with ``_`` are librdkafka's own.
Why a connection was refused stands in its text alone, so there is a second table for that.
"""

import re

from bridge.errors import Fenced, HaltereError, Malformed, Misconfigured, Unavailable

_FENCED = """
FENCED_INSTANCE_ID FENCED_MEMBER_EPOCH FENCED_STATE_EPOCH INVALID_PRODUCER_EPOCH PRODUCER_FENCED
STREAMS_TOPOLOGY_FENCED TRANSACTION_COORDINATOR_FENCED UNRELEASED_INSTANCE_ID _FENCED
"""
_MALFORMED = """
INVALID_MSG INVALID_MSG_SIZE INVALID_RECORD INVALID_TIMESTAMP MSG_SIZE_TOO_LARGE
OFFSET_METADATA_TOO_LARGE RECORD_LIST_TOO_LARGE UNSUPPORTED_FOR_MESSAGE_FORMAT _BAD_COMPRESSION
_BAD_MSG _INVALID_DIFFERENT_RECORD _KEY_DESERIALIZATION _KEY_SERIALIZATION _PARTIAL _UNDERFLOW
_VALUE_DESERIALIZATION _VALUE_SERIALIZATION
"""
_MISCONFIGURED = """
CLUSTER_AUTHORIZATION_FAILED DELEGATION_TOKEN_AUTHORIZATION_FAILED DELEGATION_TOKEN_AUTH_DISABLED
DELEGATION_TOKEN_EXPIRED DELEGATION_TOKEN_NOT_FOUND DELEGATION_TOKEN_OWNER_MISMATCH
DELEGATION_TOKEN_REQUEST_NOT_ALLOWED DUPLICATE_RESOURCE DUPLICATE_VOTER GROUP_AUTHORIZATION_FAILED
GROUP_MAX_SIZE_REACHED ILLEGAL_SASL_STATE INCONSISTENT_GROUP_PROTOCOL INCONSISTENT_VOTER_SET
INVALID_COMMIT_OFFSET_SIZE INVALID_CONFIG INVALID_GROUP_ID INVALID_PARTITIONS
INVALID_PRINCIPAL_TYPE INVALID_REGULAR_EXPRESSION INVALID_REPLICATION_FACTOR
INVALID_REPLICA_ASSIGNMENT INVALID_REQUEST INVALID_REQUIRED_ACKS INVALID_SESSION_TIMEOUT
INVALID_TRANSACTION_TIMEOUT INVALID_VOTER_KEY LISTENER_NOT_FOUND MISMATCHED_ENDPOINT_TYPE
POLICY_VIOLATION PRINCIPAL_DESERIALIZATION_FAILURE SASL_AUTHENTICATION_FAILED SECURITY_DISABLED
STREAMS_INVALID_TOPOLOGY TOPIC_AUTHORIZATION_FAILED TOPIC_DELETION_DISABLED TOPIC_EXCEPTION
TRANSACTIONAL_ID_AUTHORIZATION_FAILED UNACCEPTABLE_CREDENTIAL UNSUPPORTED_ASSIGNOR
UNSUPPORTED_COMPRESSION_TYPE UNSUPPORTED_ENDPOINT_TYPE UNSUPPORTED_SASL_MECHANISM
UNSUPPORTED_VERSION VOTER_NOT_FOUND _AUTHENTICATION _CONFLICT _EXISTING_SUBSCRIPTION
_GAPLESS_GUARANTEE _INCONSISTENT _INVALID_ARG _INVALID_TYPE _NOENT _NOT_CONFIGURED
_NOT_IMPLEMENTED _READ_ONLY _SSL _STATE _UNKNOWN_GROUP _UNKNOWN_PARTITION _UNKNOWN_PROTOCOL
_UNKNOWN_TOPIC _UNSUPPORTED_FEATURE
"""
_UNAVAILABLE = """
BROKER_NOT_AVAILABLE CONCURRENT_TRANSACTIONS COORDINATOR_LOAD_IN_PROGRESS
COORDINATOR_NOT_AVAILABLE DUPLICATE_SEQUENCE_NUMBER ELECTION_NOT_NEEDED
ELIGIBLE_LEADERS_NOT_AVAILABLE FEATURE_UPDATE_FAILED FENCED_LEADER_EPOCH
FETCH_SESSION_ID_NOT_FOUND GROUP_ID_NOT_FOUND GROUP_SUBSCRIBED_TO_TOPIC ILLEGAL_GENERATION
INCONSISTENT_TOPIC_ID INVALID_FETCH_SESSION_EPOCH INVALID_PRODUCER_ID_MAPPING
INVALID_RECORD_STATE INVALID_REGISTRATION INVALID_SHARE_SESSION_EPOCH INVALID_TXN_STATE
INVALID_UPDATE_VERSION KAFKA_STORAGE_ERROR LEADER_NOT_AVAILABLE LOG_DIR_NOT_FOUND
MEMBER_ID_REQUIRED NETWORK_EXCEPTION NON_EMPTY_GROUP NOT_CONTROLLER NOT_COORDINATOR
NOT_ENOUGH_REPLICAS NOT_ENOUGH_REPLICAS_AFTER_APPEND NOT_LEADER_FOR_PARTITION NO_ERROR
NO_REASSIGNMENT_IN_PROGRESS OFFSET_NOT_AVAILABLE OFFSET_OUT_OF_RANGE OPERATION_NOT_ATTEMPTED
OUT_OF_ORDER_SEQUENCE_NUMBER PREFERRED_LEADER_NOT_AVAILABLE REASSIGNMENT_IN_PROGRESS
REBALANCE_IN_PROGRESS REBOOTSTRAP_REQUIRED REPLICA_NOT_AVAILABLE REQUEST_TIMED_OUT
RESOURCE_NOT_FOUND SHARE_SESSION_LIMIT_REACHED SHARE_SESSION_NOT_FOUND STALE_BROKER_EPOCH
STALE_CTRL_EPOCH STALE_MEMBER_EPOCH STREAMS_INVALID_TOPOLOGY_EPOCH TELEMETRY_TOO_LARGE
THROTTLING_QUOTA_EXCEEDED TOPIC_ALREADY_EXISTS TRANSACTION_ABORTABLE UNKNOWN UNKNOWN_CONTROLLER_ID
UNKNOWN_LEADER_EPOCH UNKNOWN_MEMBER_ID UNKNOWN_PRODUCER_ID UNKNOWN_SUBSCRIPTION_ID
UNKNOWN_TOPIC_ID UNKNOWN_TOPIC_OR_PART UNSTABLE_OFFSET_COMMIT _ALL_BROKERS_DOWN _APPLICATION
_ASSIGNMENT_LOST _ASSIGN_PARTITIONS _AUTO_OFFSET_RESET _CRIT_SYS_RESOURCE _DESTROY
_DESTROY_BROKER _FAIL _FATAL _FS _INTR _IN_PROGRESS _ISR_INSUFF _LOG_TRUNCATION
_MAX_POLL_EXCEEDED _MSG_TIMED_OUT _NODE_UPDATE _NOOP _NO_OFFSET _OUTDATED _PARTITION_EOF
_PREV_IN_PROGRESS _PURGE_INFLIGHT _PURGE_QUEUE _QUEUE_FULL _RESOLVE _RETRY _REVOKE_PARTITIONS
_TIMED_OUT _TIMED_OUT_QUEUE _TRANSPORT _UNKNOWN_BROKER _WAIT_CACHE _WAIT_COORD
"""

FAMILIES: dict[str, type[HaltereError]] = {
    **dict.fromkeys(_FENCED.split(), Fenced),
    **dict.fromkeys(_MALFORMED.split(), Malformed),
    **dict.fromkeys(_MISCONFIGURED.split(), Misconfigured),
    **dict.fromkeys(_UNAVAILABLE.split(), Unavailable),
}
REMEDIES: dict[type[HaltereError], str] = {
    Unavailable: "start one with `haltere brokers`, or set kafka.bootstrap_servers; in a program"
    " servers=",
    Misconfigured: "see kafka.options (configuration= in a program) and the broker's access lists",
    Fenced: "another instance runs under this name; stop one of them",
    Malformed: "",
}
GONE = {"UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS", "_ASSIGNMENT_LOST"}
MEMBER = "to be a member of the group", "others have its partitions now, and read them again"
LEADERLESS = {  # for a moment: a topic that was made just now, a broker that stood still
    *("NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "_NOENT"),
    *("UNKNOWN_LEADER_EPOCH", "FENCED_LEADER_EPOCH", "_UNKNOWN_PARTITION"),
}
FENCED_BROKER = "brokers are currently fenced"  # in the text of an INVALID_REPLICATION_FACTOR
EXPECTED: dict[type[HaltereError], str] = {
    Unavailable: "a Kafka broker that answers",
    Misconfigured: "a request that Kafka accepts",
    Fenced: "to be the only instance of this name",
    Malformed: "a record that Kafka accepts",
}

_TOKEN = "set kafka.oauth_token_url, kafka.oauth_client_id and kafka.oauth_client_secret"
_REFUSALS: tuple[tuple[str, type[HaltereError], str], ...] = (  # the first that is found counts
    ("OAUTHBEARER token: (Failed to connect|.*timed out)", Unavailable, _TOKEN),
    ("OAUTHBEARER token: ", Misconfigured, _TOKEN),
    (
        "certificate verify failed",
        Misconfigured,
        "set kafka.tls_ca_file, or kafka.bootstrap_servers to names in the certificates",
    ),
    (
        "SSL alert number",
        Misconfigured,
        "set kafka.tls_cert_file and kafka.tls_key_file to what the brokers accept",
    ),
    (
        "Disconnected: .* in state SSL_HANDSHAKE",
        Unavailable,
        "set kafka.bootstrap_servers to a port with TLS, or kafka.tls to false",
    ),
    (
        "brokers are down",  # and none of them said why
        Unavailable,
        "start one with `haltere brokers`, or set kafka.bootstrap_servers; a port with TLS or a"
        " login wants kafka.tls or kafka.sasl_mechanism",
    ),
    (
        "SASL (authentication error|.* mechanism handshake failed)",
        Misconfigured,
        "set kafka.sasl_mechanism, and the user and the password that go with it",
    ),
)
_CONNECTING = ("_ALL_BROKERS_DOWN", "_AUTHENTICATION", "_SSL", "_TRANSPORT")


def judged(name: str, text: str) -> tuple[type[HaltereError], str]:
    """The family of an error and what to do about it.

    >>> judged("_SSL", "SSL handshake failed: certificate verify failed")[1][:22]
    'set kafka.tls_ca_file,'
    """
    for found, family, remedy in _REFUSALS if name in _CONNECTING else ():
        if re.search(found, text):
            return family, remedy
    family = FAMILIES.get(name, Unavailable)
    return family, REMEDIES[family]


def is_gone(error: HaltereError) -> bool:
    """Whether it says that we are no member, or one of an earlier generation."""
    return error.expected == MEMBER[0]


def unbuilt(text: str) -> str:
    """What to do about a client that librdkafka does not even make.

    >>> unbuilt("ssl.ca.location failed: No such file or directory")
    'set kafka.tls_ca_file'
    """
    if "ssl.ca.location" in text:
        return "set kafka.tls_ca_file"
    if "ssl.key.location" in text or "ssl.certificate.location" in text:
        return "set kafka.tls_cert_file, its kafka.tls_key_file and the kafka.tls_key_password"
    return "see kafka.options, in a program configuration="
