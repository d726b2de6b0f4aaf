"""Settings of the relay, read alike by the full product and by `relay --standalone`.

Both settings modules import everything from here; what only one of them needs stands there.
"""

from __future__ import annotations

from pulsecloud.env import Environment

ENV = Environment()

RELAY_ADDR = ENV.address("PULSE_RELAY_ADDR", "127.0.0.1:8001", help="Where the relay listens.")
RELAY_PUBLIC_URL = ENV.text(
    "PULSE_RELAY_PUBLIC_URL",
    shown="ws://<relay address> in development, none in production",
    help="The relay address that phones dial, such as wss://relay.example.com.",
).rstrip("/")
RELAY_PUBLIC_KEY = ENV.secret(
    "PULSE_RELAY_PUBLIC_KEY", help="Base64 Ed25519 key that licences and grants are verified with."
)
RELAY_ENTITLEMENT_PUBLIC_KEY = ENV.text(
    "PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY",
    help="One or more base64 Ed25519 keys, separated by commas, that leases are verified with.",
)
RELAY_ENTITLEMENT_PUBLIC_KEY_FILE = ENV.text(
    "PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY_FILE",
    shown="<data directory>/keys/entitlement.pub in development",
    help="The same keys, one a line, in a file that is read again when it changes.",
)
RELAY_DATA_DIR = ENV.path(
    "PULSE_RELAY_DATA_DIR", "./relay-data", help="SQLite directory of `relay --standalone`."
)
RELAY_DRAIN_TIMEOUT = ENV.seconds(
    "PULSE_RELAY_DRAIN_TIMEOUT", "10s", help="How long the relay drains before it closes sockets."
)
RELAY_MAX_CHANNELS = ENV.integer(
    "PULSE_RELAY_MAX_CHANNELS", 64, least=1, help="Phones connected to one instance at a time."
)
RELAY_CONNECTS_PER_MINUTE = ENV.integer(
    "PULSE_RELAY_CONNECTS_PER_MINUTE", 0, help="Connects per address and minute; 0 is no limit."
)
RELAY_APP_ORIGINS = ENV.words(
    "PULSE_RELAY_APP_ORIGINS", help="Browser origins that may open /ws/app; phones send none."
)
RELAY_GRANT_ISSUER = ENV.text(
    "PULSE_RELAY_GRANT_ISSUER", help="Required `iss` of v6 grants; not checked when empty."
)
RELAY_GRANT_AUDIENCE = ENV.text(
    "PULSE_RELAY_GRANT_AUDIENCE", help="Required `aud` of v6 grants; not checked when empty."
)

# Deadlines of the wire, in seconds (relay-protocol sections 6, 7, 9, 11, 12).
RELAY_FIRST_FRAME_TIMEOUT = ENV.seconds(
    "PULSE_RELAY_FIRST_FRAME_TIMEOUT",
    "15s",
    help="Wait for the HTTP request, then for REGISTER or CONNECT.",
)
RELAY_ECHO_TIMEOUT = ENV.seconds(
    "PULSE_RELAY_ECHO_TIMEOUT", "10s", help="Wait for an instance to accept a channel."
)
RELAY_PING_INTERVAL = ENV.seconds(
    "PULSE_RELAY_PING_INTERVAL", "20s", help="WebSocket ping to every peer."
)
RELAY_PING_TIMEOUT = ENV.seconds(
    "PULSE_RELAY_PING_TIMEOUT", "40s", help="A peer silent for this long after a ping is gone."
)
RELAY_SESSION_LIFE = ENV.seconds(
    "PULSE_RELAY_SESSION_LIFE", "7d", help="Sliding life of a resume session."
)
RELAY_SWEEP_INTERVAL = ENV.seconds(
    "PULSE_RELAY_SWEEP_INTERVAL",
    "30s",
    help="How often relay and runtime look for changes whose notification was lost.",
)
RELAY_EXPIRY_JITTER = ENV.seconds(
    "PULSE_RELAY_EXPIRY_JITTER",
    "30s",
    help="A connection whose lease or grant ran out is closed within this time, spread at random.",
)
RELAY_DATABASE_TIMEOUT = ENV.seconds(
    "PULSE_RELAY_DATABASE_TIMEOUT",
    "5s",
    help="A registration or connect that the database has not answered by then is refused.",
)

TRUSTED_PROXIES = ENV.words(
    "TRUSTED_PROXIES", help="Networks whose X-Forwarded-For is believed, such as 10.0.0.0/8."
)
METRICS_TOKEN = ENV.secret(
    "METRICS_TOKEN", help="Bearer token for /metrics; without it only loopback may read."
)
LOG_LEVEL = ENV.choice(
    "PULSECLOUD_LOG_LEVEL",
    "INFO",
    ("DEBUG", "INFO", "WARNING", "ERROR"),
    help="Least level logged.",
)
LOGGING_CONFIG = "pulsecloud.logs.configure"
LOGGING = {"level": LOG_LEVEL}
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
