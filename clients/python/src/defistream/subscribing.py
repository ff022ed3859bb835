"""The subscriptions' part of the conversation: asking, leaving, and whose an update is. Pure, like the session that drives it."""

from __future__ import annotations

import itertools
from typing import assert_never

from defistream import commands, events
from defistream.asking import Ask, plan
from defistream.cursors import Cursor, Position
from defistream.effects import NOTHING, Announce, Begin, Effects, Finish, Hold, Send, Tell
from defistream.errors import CursorExpired, DefistreamError, SubscriptionRefused
from defistream.filters import Filters
from defistream.interests import Interest, Interests, State
from defistream.messages import CatchUpEnd, Heartbeat, Refusal, ServerNotice, Subscribed, Unsubscribed
from defistream.sharing import Sharing, release
from defistream.updates import Update

Answer = Update | Heartbeat | Subscribed | Unsubscribed | CatchUpEnd


class Subscribing:
    """All subscriptions of one client, over all its connections. `resume`: ask with the cursor where there is one.

    `retry`: ask again for what was refused for now, instead of ending it.
    """

    def __init__(self, *, resume: bool, retry: bool) -> None:
        self._resume = resume
        self._retry = retry
        self._online = False
        self._interests = Interests()
        self._commands = itertools.count(1)
        self._asked: dict[int, Ask] = {}
        # Channels of rooms that nobody here wants any more, but that may still send, by the command that is to end them.
        self._leaving: dict[int, str] = {}
        self._sharing = Sharing()

    def online(self) -> Effects:
        """Commands are taken from now on: ask for everything."""
        self._online = True
        return tuple(effect for channel in self._interests.channels for effect in self._advance(channel))

    def offline(self) -> None:
        """The connection ended, and with it every subscription on the server."""
        self._online = False
        self._asked.clear()
        self._leaving.clear()
        self._sharing.clear()
        for interest in self._interests:
            interest.suspend()

    def finish(self, error: DefistreamError) -> Effects:
        """End them all."""
        numbers = [interest.number for interest in self._interests]
        for number in numbers:
            self._interests.remove(number)
        return tuple(Finish(number, error) for number in numbers)

    def add(
        self, number: int, channel: str, filters: Filters, since: Cursor | None, *, snapshot: bool = False
    ) -> Effects:
        self._interests.add(Interest(number, channel, filters, Position(since), snapshot))
        return self._advance(channel)

    def ask_again(self, number: int) -> Effects:
        """Nothing where it does not wait any more, or cannot be asked for yet."""
        interest = self._interests.get(number)
        if interest is None or interest.state is not State.HELD:
            return NOTHING
        interest.state = State.WAITING
        return self._advance(interest.channel)

    def is_in_turn(self, number: int) -> bool:
        """False while a subscription waits for another one's replay to end."""
        interest = self._interests.get(number)
        return not self._online or interest is None or interest.state is not State.WAITING

    def remove(self, number: int) -> Effects:
        """Idempotent. Nothing more is delivered to this subscription."""
        interest = self._interests.remove(number)
        if interest is None:
            return NOTHING
        for command, ask in self._asked.items():
            if interest in ask.interests:
                ask.interests.remove(interest)
                if not ask.interests:
                    self._leaving[command] = interest.channel
                return NOTHING
        if not interest.is_asked:
            return NOTHING
        return (*self._leave(interest), *self._advance(interest.channel))

    def conflated(self, channel: str) -> None:
        """Updates of this channel were spared: what comes of them later, in a replay, is old."""
        for interest in self._interests.of_channel(channel):
            interest.spared = interest.spared or interest.is_asked

    def noticed(self, notice: ServerNotice) -> Effects:
        """Updates of a room were deleted before they could be sent: its subscriptions go on without them, and say so."""
        if notice.kind != "updates_lost" or notice.oldest is None:
            return NOTHING
        concerned = [each for each in self._interests if each.room == notice.room and each.is_asked]
        return tuple(effect for interest in concerned for effect in self._go_on(interest, notice.oldest))

    def _go_on(self, interest: Interest, oldest: Cursor) -> Effects:
        before = interest.position.cursor
        gap = events.Gap(interest.channel, interest.room or "", str(before) if before else "", str(oldest))
        if interest.state is not State.LIVE:
            return (Announce(gap),)
        interest.position.tell(oldest)
        return (Announce(gap), Tell(interest.number, oldest))

    def received(self, message: Answer) -> Effects:
        match message:
            case Update():
                alone = message.channel not in self._leaving.values()
                return self._sharing.deliver(message, self._interests.of_channel(message.channel), alone=alone)
            case Heartbeat(cursors=cursors):
                return tuple(effect for channel, cursor in cursors.items() for effect in self._tell(channel, cursor))
            case Subscribed():
                return self._on_subscribed(message)
            case CatchUpEnd():
                return self._on_end(message)
            case Unsubscribed(command=command):
                self._leaving.pop(command or 0, None)
                return NOTHING
            case _:
                assert_never(message)

    def refused(self, message: Refusal) -> Effects | None:
        """`None` for an error that is no answer to a subscription. One that began, but cannot go on, is refused late."""
        command = message.command or 0
        ask = self._asked.pop(command, None) or self._sharing.end(command)
        if ask is None:
            return None
        self._leaving.pop(command, None)
        refused = tuple(effect for interest in ask.interests for effect in self._refuse(interest, ask, message))
        for other in self._interests.of_room(ask.lead):
            # The room may have ended with it.
            if other.state is State.LIVE and ask.past:
                other.suspend()
        return (*refused, *self._advance(ask.lead.channel))

    def _refuse(self, interest: Interest, ask: Ask, message: Refusal) -> Effects:
        error = _refusal(message)
        if isinstance(error, CursorExpired) and interest.snapshot and not ask.snapshot:
            # It was asked together with one that wants no last values instead.
            interest.suspend()
            return NOTHING
        if not (message.retryable and self._retry):
            interest.suspend()
            self._interests.remove(interest.number)
            return (Finish(interest.number, error),)
        interest.suspend(State.HELD)
        after = interest.backoff.next(at_least=message.retry_after)
        again = events.Resubscribing(interest.channel, after, message.code, message.message)
        return (Announce(again), Hold(interest.number, after, error))

    def _on_subscribed(self, message: Subscribed) -> Effects:
        ask = self._asked.pop(message.command, None)
        if ask is None:
            return NOTHING
        ask.lead.room = message.room
        if self._leaving.pop(message.command, None) is not None:
            return (*self._leave(ask.lead), *self._advance(ask.lead.channel))
        if ask.past:
            self._sharing.begin(message.command, ask)
        begun = tuple(effect for interest in ask.interests for effect in self._begin(interest, ask, message))
        return (*begun, *self._advance(ask.lead.channel))

    def _begin(self, interest: Interest, ask: Ask, message: Subscribed) -> Effects:
        interest.room = message.room
        interest.backoff.reset()
        interest.state = State.REPLAYING if ask.past else State.LIVE
        cursor = message.cursor
        text = str(cursor) if cursor is not None else None
        news: list[events.Event] = [events.Subscribed(interest.channel, message.room, interest.filters.to_json(), text)]
        before = interest.position.cursor if not self._resume else None
        if before is not None and cursor is not None and cursor.is_ahead_of(before):
            news.append(events.Gap(interest.channel, message.room, str(before), str(cursor)))
        begun: Effects = (Begin(interest.number, message.room), *map(Announce, news))
        if cursor is None:
            return begun
        interest.position.enter(cursor.epoch)
        if ask.past:
            return begun
        interest.position.tell(cursor)
        return (*begun, Tell(interest.number, cursor))

    def _on_end(self, message: CatchUpEnd) -> Effects:
        ask = self._sharing.end(message.command or 0)
        if ask is None:
            return NOTHING
        effects: list[Effects] = []
        for interest in ask.interests:
            interest.state = State.LIVE
            effects.append(release(interest))
            interest.position.tell(message.cursor)
            effects.append((Tell(interest.number, message.cursor, caught_up=True),))
        caught_up = events.CaughtUp(
            ask.lead.channel, message.room, str(message.cursor), message.count, message.snapshot, message.expired
        )
        news: Effects = (Announce(caught_up),) if ask.interests else NOTHING
        return (*itertools.chain.from_iterable(effects), *news, *self._advance(ask.lead.channel))

    def _tell(self, channel: str, cursor: Cursor) -> list[Tell]:
        """A heartbeat's cursor is about live subscriptions; one that replays stands where it asked from."""
        live = [one for one in self._interests.of_channel(channel) if one.state is State.LIVE]
        for interest in live:
            interest.position.tell(cursor)
        return [Tell(interest.number, cursor) for interest in live]

    def _advance(self, channel: str) -> Effects:
        """Ask for all that wait and may be asked for now."""
        sends = []
        unwanted = [ask.lead for ask in self._asked.values() if not ask.interests and ask.lead.channel == channel]
        for interest in tuple(self._interests.of_channel(channel)) if self._online else ():
            if interest.state is not State.WAITING:
                continue
            ask = plan(interest, self._interests, unwanted=unwanted, resume=self._resume)
            if ask is not None:
                sends.append(self._ask(ask))
        return tuple(sends)

    def _ask(self, ask: Ask) -> Send:
        command = next(self._commands)
        self._asked[command] = ask
        for other in self._interests.of_room(ask.lead) if ask.past else ():
            # It is in the room no more, and asks for what it misses afterwards.
            if other.state is State.LIVE:
                other.suspend()
        for interest in ask.interests:
            interest.state = State.ASKED
        since = str(ask.since) if ask.since is not None else None
        return Send(commands.subscribe(command, ask.lead.channel, ask.lead.filters, since, snapshot=ask.snapshot))

    def _leave(self, interest: Interest) -> Effects:
        """Unsubscribe from the room, unless another subscription is in it, or is about to be."""
        self._sharing.leave(interest)
        if interest.room is None or any(other.is_asked for other in self._interests.of_room(interest)):
            return NOTHING
        command = next(self._commands)
        self._leaving[command] = interest.channel
        return (Send(commands.unsubscribe(command, interest.room)),)


def _refusal(message: Refusal) -> SubscriptionRefused:
    if message.code == "cursor_expired":
        return CursorExpired(message.message, field=message.field, oldest=message.oldest)
    return SubscriptionRefused(
        message.code,
        message.message,
        field=message.field,
        retryable=message.retryable,
        retry_after=message.retry_after,
    )
