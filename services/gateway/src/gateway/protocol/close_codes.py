"""Close codes (docs/protocol.md): 40xx a client may reconnect, 45xx it must not until something is changed."""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_DATA = 1007
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    DRAINING = 4000
    LIFETIME_REACHED = 4001
    IDLE = 4002
    SLOW_CONSUMER = 4003
    UNAVAILABLE = 4004
    RATE_LIMITED = 4005
    BAD_REQUEST = 4500
    AUTHENTICATION_TIMEOUT = 4501
    INVALID_KEY = 4502
    KEY_REVOKED = 4503
    TOO_MANY_CONNECTIONS = 4504
