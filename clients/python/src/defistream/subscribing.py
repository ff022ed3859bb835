"""The subscriptions' part of the conversation: asking, leaving, and whose an update is. Pure, like the session that drives it."""

from __future__ import annotations

import itertools
from typing import assert_never

from defistream import commands, events
from defistream.cursors import Cursor, Position, parse_place
from defistream.effects import NOTHING, Announce, Begin, Deliver, Effects, Finish, Hold, Send, Tell
from defistream.errors import CursorExpired, DefistreamError, SubscriptionRefused
from defistream.filters import Filters
from defistream.interests import Interest, Interests, State
from defistream.messages import Heartbeat, Refusal, ReplayEnd, Subscribed, Unsubscribed
from defistream.updates import Update

Answer = Update | Heartbeat | Subscribed | Unsubscribed | ReplayEnd


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
        self._asked: dict[int, Interest] = {}
        # Channels of rooms that nobody here wants any more, but that may still send, by the command that is to end them.
        self._leaving: dict[int, str] = {}

    def online(self) -> Effects:
        """Commands are taken from now on: ask for everything."""
        self._online = True
        return tuple(self._ask(interest) for interest in self._interests)

    def offline(self) -> None:
        """The connection ended, and with it every subscription on the server."""
        self._online = False
        self._asked.clear()
        self._leaving.clear()
        for interest in self._interests:
            interest.suspend()

    def finish(self, error: DefistreamError) -> Effects:
        """End them all."""
        numbers = [interest.number for interest in self._interests]
        for number in numbers:
            self._interests.remove(number)
        return tuple(Finish(number, error) for number in numbers)

    def add(self, number: int, channel: str, filters: Filters, since: Cursor | None) -> Effects:
        self._interests.add(Interest(number, channel, filters, Position(since)))
        return self.ask_again(number)

    def ask_again(self, number: int) -> Effects:
        """Nothing where it does not wait any more, or cannot be asked for yet."""
        interest = self._interests.get(number)
        if not self._online or interest is None or interest.state is not State.WAITING:
            return NOTHING
        return (self._ask(interest),)

    def remove(self, number: int) -> Effects:
        """Idempotent. Nothing more is delivered to this subscription."""
        interest = self._interests.remove(number)
        if interest is None or interest.state is State.WAITING:
            return NOTHING
        if interest.state is State.ASKED:
            self._leaving |= {command: one.channel for command, one in self._asked.items() if one is interest}
            return NOTHING
        return self._leave(interest)

    def received(self, message: Answer) -> Effects:
        match message:
            case Update():
                return self._on_update(message)
            case Heartbeat(cursors=cursors):
                return tuple(effect for channel, cursor in cursors.items() for effect in self._tell(channel, cursor))
            case Subscribed():
                return self._on_subscribed(message)
            case ReplayEnd():
                return self._on_replay_end(message)
            case Unsubscribed(command=command):
                self._leaving.pop(command or 0, None)
                return NOTHING
            case _:
                assert_never(message)

    def refused(self, message: Refusal) -> Effects | None:
        """`None` for an error that is no answer to a subscription."""
        interest = self._asked.pop(message.command or 0, None)
        if interest is None:
            return None
        if self._leaving.pop(message.command or 0, None) is not None:
            return NOTHING
        interest.suspend()
        error = _refusal(message)
        if not (message.retryable and self._retry):
            self._interests.remove(interest.number)
            return (Finish(interest.number, error),)
        after = interest.backoff.next(at_least=message.retry_after)
        again = events.Resubscribing(interest.channel, after, message.code, message.message)
        return (Announce(again), Hold(interest.number, after, error))

    def _on_update(self, update: Update) -> Effects:
        interests = self._interests.of_channel(update.channel)
        if len(interests) == 1 and update.channel not in self._leaving.values():
            return self._deliver(interests[0], update, alone=True)
        matching = [interest for interest in interests if interest.filters.matches(update)]
        return tuple(effect for interest in matching for effect in self._deliver(interest, update, alone=False))

    def _deliver(self, interest: Interest, update: Update, *, alone: bool) -> Effects:
        """`alone`: all of the channel's updates are for this subscription, so nothing older of this partition is owed to it."""
        if interest.state is State.WAITING:
            return NOTHING
        if interest.state is State.ASKED:
            interest.early.append(update)
            return NOTHING
        place = parse_place(update.id)
        if place is None:
            return (Deliver(interest.number, update, None),)
        moves = alone and interest.state is State.LIVE
        if not interest.position.take(*place, moves=moves):
            return NOTHING
        return (Deliver(interest.number, update, place if moves else None),)

    def _on_subscribed(self, message: Subscribed) -> Effects:
        interest = self._asked.pop(message.command, None)
        if interest is None:
            return NOTHING
        interest.room = message.room
        if self._leaving.pop(message.command, None) is not None:
            return self._leave(interest)
        interest.backoff.reset()
        cursor = str(message.cursor) if message.cursor is not None else None
        news: list[events.Event] = [
            events.Subscribed(interest.channel, message.room, interest.filters.to_json(), cursor)
        ]
        before = interest.position.cursor if not self._resume else None
        if before is not None and message.cursor is not None and message.cursor.is_ahead_of(before):
            news.append(events.Gap(interest.channel, message.room, str(before), str(message.cursor)))
        begun = self._begin(interest, message.cursor, replays=self._since(interest) is not None)
        return (Begin(interest.number, message.room), *map(Announce, news), *begun)

    def _begin(self, interest: Interest, cursor: Cursor | None, *, replays: bool) -> Effects:
        """Early updates first: the cursor may be ahead of them."""
        interest.state = State.REPLAYING if replays else State.LIVE
        if cursor is not None:
            interest.position.enter(cursor.epoch)
        early, interest.early = interest.early, []
        effects = tuple(effect for update in early for effect in self._deliver(interest, update, alone=False))
        if replays or cursor is None:
            return effects
        interest.position.tell(cursor)
        return (*effects, Tell(interest.number, cursor))

    def _on_replay_end(self, message: ReplayEnd) -> Effects:
        ended = [one for one in self._interests if one.room == message.room and one.state is State.REPLAYING]
        for interest in ended:
            interest.state = State.LIVE
            interest.position.tell(message.cursor)
        return tuple(Tell(interest.number, message.cursor) for interest in ended)

    def _tell(self, channel: str, cursor: Cursor) -> list[Tell]:
        """A heartbeat's cursor is about live subscriptions; one that replays stands where it asked from."""
        live = [one for one in self._interests.of_channel(channel) if one.state is State.LIVE]
        for interest in live:
            interest.position.tell(cursor)
        return [Tell(interest.number, cursor) for interest in live]

    def _since(self, interest: Interest) -> str | None:
        cursor = interest.position.cursor if self._resume else None
        return str(cursor) if cursor is not None else None

    def _ask(self, interest: Interest) -> Send:
        command = next(self._commands)
        interest.state = State.ASKED
        self._asked[command] = interest
        return Send(commands.subscribe(command, interest.channel, interest.filters, self._since(interest)))

    def _leave(self, interest: Interest) -> Effects:
        """Unsubscribe from the room, unless another subscription is in it, or is about to be."""
        if interest.room is None or self._interests.wants(interest):
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
