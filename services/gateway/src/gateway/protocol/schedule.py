"""The deadlines of one session: heartbeats, silence, and the end that is coming. Pure; all times are monotonic seconds."""

from __future__ import annotations

from gateway.protocol.replies import Timing


class Schedule:
    """`deadline` is the hard end of the present state: of waiting for a key, of the connection's life, of a close."""

    __slots__ = ("_heard_told", "_heartbeat_at", "_timing", "_warn_before", "deadline", "heard")

    def __init__(self, timing: Timing, *, now: float) -> None:
        self.deadline = now + timing.auth_timeout
        self.heard = now
        self._heard_told = now
        self._heartbeat_at = now + timing.heartbeat_interval
        self._timing = timing
        self._warn_before: float | None = None

    def live_until(self, end: float) -> None:
        """The connection serves until `end`, and is warned before it."""
        self.deadline = end
        self._warn_before = min(self._timing.expiring_notice, self._timing.lifetime / 10)

    def end_at(self, deadline: float) -> None:
        """Nothing is to come but the deadline."""
        self.deadline = deadline
        self._heartbeat_at = self.heard = float("inf")
        self._warn_before = None

    def next(self) -> float:
        """When something is due next."""
        due = min(self._heartbeat_at, self.heard + self._timing.idle_timeout, self.deadline)
        return due if self._warn_before is None else min(due, self.deadline - self._warn_before)

    def is_over(self, now: float) -> bool:
        return now >= self.deadline

    def is_idle(self, now: float) -> bool:
        return now >= self.heard + self._timing.idle_timeout

    def take_warning(self, now: float) -> bool:
        """Whether the warning of the end is due; it is once."""
        if self._warn_before is None or now < self.deadline - self._warn_before:
            return False
        self._warn_before = None
        return True

    def take_heartbeat(self, now: float) -> bool:
        """Whether a heartbeat is due; the next one is an interval later."""
        if now < self._heartbeat_at:
            return False
        self._heartbeat_at = now + self._timing.heartbeat_interval
        return True

    def take_heard(self) -> bool:
        """Whether the peer was heard from since this was last asked."""
        heard, self._heard_told = self.heard > self._heard_told, self.heard
        return heard
