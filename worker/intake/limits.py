"""Limits of the listener: one peer must never be able to stop the others."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers and times that bound what peers can take. Every time is a total, never per read.

    A time-out of 25 s, not 30 or 60, keeps every silent peer below half a minute including the watchdog's own pace.

    Parameters
    ----------
    associations, associations_per_peer, associations_per_calling_ae:
        How many associations run at once: altogether, from one IP address, from one calling AE title. A new one
        beyond a limit takes the place of the one that has been still for the longest time (at least
        ``evictable_after_s``); while nobody is still it waits before it is accepted, at most ``waiting_s``, and is then
        rejected (transient, local limit exceeded).
    pending_connections:
        Connections whose A-ASSOCIATE-RQ is not complete. They cost no thread. Beyond this, the oldest is closed.
    request_s, request_bytes:
        Total time for, and size of, an A-ASSOCIATE-RQ PDU.
    idle_s:
        Longest pause between two PDUs.
    pdu_s:
        Total time for one PDU from its first byte, and for one answer to leave.
    message_rate_bytes_per_s, message_rate_after_s:
        A message that has taken longer than the second must have brought the first on average, or it is trickling.
    maximum_pdu_bytes:
        Length of a P-DATA-TF that is offered in the negotiation; a longer one is answered with A-ABORT.
    command_bytes:
        Longest command set.
    extra_message_bytes:
        Largest data set for the extra services (they are held in memory; storage never is).
    object_bytes:
        Largest data set that is stored.
    backlog:
        Of the listening socket.
    """

    associations: int = 400
    associations_per_peer: int = 320
    associations_per_calling_ae: int = 320
    evictable_after_s: float = 2.0
    waiting_s: float = 4.0
    pending_connections: int = 512
    request_s: float = 10.0
    request_bytes: int = 1 << 20
    idle_s: float = 25.0
    pdu_s: float = 25.0
    message_rate_bytes_per_s: int = 64
    message_rate_after_s: float = 30.0
    maximum_pdu_bytes: int = 131072
    command_bytes: int = 16384
    extra_message_bytes: int = 4 << 20
    object_bytes: int = 8 << 30
    backlog: int = 512

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ConfigurationError(
                    f"The listener's limit {name} must be above zero.",
                    next_step="Leave it out to get the default.",
                    code="bad-limit",
                )
        if self.maximum_pdu_bytes < 4096:
            raise ConfigurationError(
                "The listener's maximum_pdu_bytes must be at least 4096 (PS3.8 Annex D.1).",
                next_step="Leave it out to get the default.",
                code="bad-limit",
            )
