"""Connections that catch up: replay after a cursor, or a snapshot, and then the live stream without a gap (DESIGN section 7). Pure.

Those who ask for the same room at about the same time are one group, with one interest record: routers replay once for all of them, and
what a connection had already is dropped here, by its own offsets. Who comes before the first answer, and had all that was not asked for,
joins those who have asked; who comes when they have caught up is given what is still here of it (`gateway.recent`).

    gathered --(tick)--> asked --(every partition: began, replayed..., activated)--> caught up, a member like the others
                           |  not heard of for `retry`: asked again under the same number
                           +-- a partition cannot serve the cursor, or nothing heard for `timeout`: failed
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from common.cursor import Cursor
from common.deliveries import Began, Replayed, Routed, Verdict
from common.identifiers import RoomId
from common.rooms import Room
from gateway.activation import Activation, Interest
from gateway.catch_ups import CatchUp, Group
from gateway.members import Member, may_have
from gateway.positions import Positions
from gateway.recent import Recent

_SHARED = 0.25
"""The part of the timeout for which others may join an unanswered group, whose timeout becomes theirs."""
_REFUSALS = frozenset({Verdict.EXPIRED, Verdict.FUTURE})


_Kind = tuple[RoomId, str | None, bool]
"""Room, stream and whether a snapshot will do: those who are alike in these may be one group."""


class CatchingUp:
    """`partitions(channel)`: how many a channel has. `retry` and `timeout` are seconds without an answer."""

    def __init__(
        self,
        interest: Interest,
        activation: Activation,
        positions: Positions,
        recent: Recent,
        *,
        partitions: Callable[[str], int],
        retry: float,
        timeout: float,
    ) -> None:
        self._interest = interest
        self._activation = activation
        self._positions = positions
        self._recent = recent
        self._partitions = partitions
        self._retry = retry
        self._timeout = timeout
        self._gathering: dict[_Kind, Group] = {}
        self._asked: dict[int, Group] = {}
        self._latest: dict[_Kind, Group] = {}
        """Of those asked, the last of each kind."""
        self._answered: dict[str, dict[int, Group]] = {}
        """By channel, those asked of which every partition has said what it gives."""
        self._rooms: dict[RoomId, dict[Member, tuple[Group, CatchUp]]] = {}

    @property
    def rooms(self) -> Collection[RoomId]:
        """Rooms in which somebody catches up."""
        return self._rooms.keys()

    def at_hand(self, catch_up: CatchUp, *, now: float) -> list[bytes] | None:
        """The frames that bring it to where everybody in the room is, all at once; `None` where routers must be asked."""
        room, had, channel = catch_up.room, catch_up.had, catch_up.room.channel.value
        recent = self._recent.find(room.id)
        if recent is None or catch_up.since is None or not recent.covers(had):
            return None
        if not recent.stream == catch_up.since.epoch == self._positions.epoch(channel):
            return None
        if recent.request != self._activation.request(room.id):
            # The room was given up, or recovers: something may be missing.
            return None
        if self._is_ahead(catch_up):
            return None
        self._recent.used(recent, now=now)
        return recent.after(had, catch_up.member)

    def begin(self, catch_up: CatchUp, *, now: float) -> None:
        """Ask for it with the next `tick`. The room is held until the connection leaves it."""
        self._activation.hold(catch_up.room, now=now)
        catch_up.member.catching_up += 1
        self._gather(catch_up, now)

    def members(self, channel: str) -> Iterator[Member]:
        """Who catches up in the channel."""
        for here in self._rooms.values():
            for member, (group, _catch_up) in here.items():
                if group.room.channel.value == channel:
                    yield member

    def by_room(self, channel: str) -> Iterator[tuple[Room, list[Member]]]:
        """The rooms of the channel in which somebody catches up, and who does."""
        for here in self._rooms.values():
            group, _catch_up = next(iter(here.values()))
            if group.room.channel.value == channel:
                yield group.room, list(here)

    def has(self, member: Member, room: Room) -> bool:
        return member in self._rooms.get(room.id, ())

    def leave(self, member: Member, room: Room) -> bool:
        """The connection is out; its listener hears no more. False when it was not catching up there."""
        if not self._forget(member, room):
            return False
        self._activation.leave(room)
        return True

    def tick(self, now: float) -> None:
        """Ask for what was gathered, and again for what was not heard of."""
        self._recent.tick(now)
        gathered, self._gathering = self._gathering, {}
        for kind, group in gathered.items():
            if group.members:
                group.request = self._activation.next_request()
                self._asked[group.request] = self._latest[kind] = group
                self._ask(group, now)
        for group in list(self._asked.values()):
            if group.request not in self._asked:
                # What another group was told ended the connections of this one.
                continue
            if now - group.heard_at >= self._timeout:
                for catch_up in self._end(group):
                    self._activation.leave(group.room)
                    catch_up.listener.failed("the update stream did not answer in time; try again")
            elif now - max(group.heard_at, group.asked_at) >= self._retry:
                self._ask(group, now)

    def clear(self) -> None:
        self._gathering.clear()
        self._asked.clear()
        self._latest.clear()
        self._answered.clear()
        self._rooms.clear()
        self._recent.clear()

    # Answers --------------------------------------------------------------------------------------------------------

    def began(self, item: Began, partition: int, *, now: float) -> None:
        group = self._hear(item.request, now)
        if group is None:
            return
        group.verdicts[partition] = item.verdict
        if item.verdict != Verdict.REPLAY:
            self._keep_no_more(group)
        elif group.recent is not None:
            group.recent.begins(partition, item.oldest)
        group.oldest[partition] = item.oldest
        channel = group.room.channel.value
        if len(group.verdicts) >= self._partitions(channel):
            self._answered.setdefault(channel, {})[group.request] = group
        self._set_apart(group, item, partition, now)
        if item.verdict not in _REFUSALS:
            # A cursor that no partition can serve is refused without a word before.
            group.begin()
        if item.verdict == Verdict.SNAPSHOT:
            for catch_up in group.members.values():
                if group.stream is not None and partition not in catch_up.snapshots:
                    # The cursor does not hold here: every last value is new to the connection.
                    catch_up.had[partition] = -1
                catch_up.snapshots.add(partition)

    def replayed(self, item: Replayed, partition: int, frame: bytes, *, now: float) -> dict[Member, None]:
        """Who is to have the frame: each once, whatever number of requests it answers."""
        found: dict[Member, None] = {}
        offset, user = item.offset, item.user
        for _room, request in item.answers:
            group = self._hear(request, now)
            if group is None:
                continue
            if group.recent is not None:
                self._recent.replayed(group.recent, partition, offset, user, frame)
            for member, catch_up in group.members.items():
                had = catch_up.had
                if offset > had.get(partition, -1) and (user is None or may_have(member, user, group.room)):
                    had[partition] = offset
                    catch_up.frames += 1
                    found[member] = None
        return found

    def activated(self, request: int, partition: int, offset: int, *, now: float) -> None:
        """The partition has answered, and delivers live from `offset` on."""
        group = self._hear(request, now)
        if group is None or not self._activation.is_live(group.room.id, partition):
            return
        if group.verdicts.get(partition) in _REFUSALS:
            # Who waits for the other partitions' answers stays where the cursor is: asked again, this one refuses it again.
            return
        group.joined.add(partition)
        for catch_up in group.members.values():
            catch_up.had[partition] = max(catch_up.had.get(partition, -1), offset - 1)

    def live(self, room_id: RoomId, partition: int, update: Routed, frame: bytes) -> Iterator[Member]:
        """Those in the room who are live on the partition and have not had this update; they have it now."""
        offset, user = update.offset, update.user
        for member, (group, catch_up) in self._rooms.get(room_id, {}).items():
            if partition not in group.joined:
                continue
            if group.recent is not None:
                self._recent.replayed(group.recent, partition, offset, user, frame)
            if offset > catch_up.had.get(partition, -1):
                catch_up.had[partition] = offset
                if may_have(member, user, group.room):
                    yield member

    def took_over(self, channel: str, partition: int) -> None:
        """A room that the new owner does not know is asked for again from the position on; who is behind that asks for itself."""
        self._recent.drop_channel(channel)
        for group in self._asked.values():
            if group.room.channel.value == channel and not self._activation.is_live(group.room.id, partition):
                group.joined.discard(partition)

    def settle(self, channel: str, enter: Callable[[Member, Room], None], *, now: float) -> None:
        """`enter` those of a channel who have caught up with everybody else, then tell them; they are nobody of ours any more."""
        answered = self._answered.get(channel)
        if not answered:
            return
        partitions = self._partitions(channel)
        for group in list(answered.values()):
            if group.request not in self._asked:
                continue
            if not _REFUSALS.isdisjoint(group.verdicts.values()):
                self._refuse(group)
            elif len(group.joined) >= partitions and self._positions.is_level(channel):
                self._finish(group, enter, now=now)

    # Inside ---------------------------------------------------------------------------------------------------------

    def _hear(self, request: int, now: float) -> Group | None:
        group = self._asked.get(request)
        if group is None:
            return None
        group.heard_at = now
        return group

    def _is_ahead(self, catch_up: CatchUp) -> bool:
        """Whether it had something that has not come here."""
        position, channel = self._positions.position, catch_up.room.channel.value
        return any(offset > position(channel, partition) for partition, offset in catch_up.had.items())

    def _gather(self, catch_up: CatchUp, now: float) -> None:
        room, stream = catch_up.room, catch_up.since.epoch if catch_up.since is not None else None
        kind = (room.id, stream, catch_up.snapshot)
        group = self._unanswered(kind, catch_up, now) or self._gathering.get(kind)
        if group is None:
            group = self._gathering[kind] = Group(room, stream, catch_up.snapshot, heard_at=now)
        group.members[catch_up.member] = catch_up
        self._rooms.setdefault(room.id, {})[catch_up.member] = (group, catch_up)

    def _unanswered(self, kind: _Kind, catch_up: CatchUp, now: float) -> Group | None:
        """A group that has asked for what this one wants, not long ago, and has no answer yet."""
        group = self._latest.get(kind)
        if group is None or not group.covers(catch_up) or now - group.heard_at >= _SHARED * self._timeout:
            return None
        return group

    def _set_apart(self, group: Group, item: Began, partition: int, now: float) -> None:
        """The verdict is on the least that any of the group had. Those for whom it would be another one are asked for anew."""
        ours = group.stream == self._positions.epoch(group.room.channel.value)
        if not ours or item.verdict == Verdict.FUTURE or partition in group.joined:
            return
        expired = item.verdict != Verdict.REPLAY
        for catch_up in list(group.members.values()):
            is_expired = 0 <= catch_up.had.get(partition, -1) < item.oldest - 1
            if is_expired != expired and partition not in catch_up.snapshots:
                del group.members[catch_up.member]
                self._gather(catch_up, now)
        if not group.members:
            self._drop(group)

    def _ask(self, group: Group, now: float) -> None:
        group.asked_at = now
        if group.stream is not None:
            since = self._since(group)
            if group.asked is None:
                group.recent = self._recent.begin(group.room, group.stream, since)
            elif group.recent is not None and any(
                partition not in group.joined and not group.recent.reaches(partition, offset)
                for partition, offset in since.items()
            ):
                # Who had the least has left: what follows that is not asked for any more.
                self._keep_no_more(group)
            group.asked = since
        self._interest.want(group.room, group.request, since=group.asked, stream=group.stream, snapshot=group.snapshot)

    def _since(self, group: Group) -> dict[int, int]:
        """The least that any of the group had; where they are live, nothing is to be replayed."""
        channel = group.room.channel.value
        least: dict[int, int] = {}
        for partition in range(self._partitions(channel)):
            had = [catch_up.had.get(partition, -1) for catch_up in group.members.values()]
            source = self._positions.source(channel, partition)
            least[partition] = min(had, default=-1)
            if partition in group.joined and source.progress >= source.position:
                # Whose cursor is beyond that is asked for with it, and refused if nothing is there.
                least[partition] = max(least[partition], source.position)
        return least

    def _finish(self, group: Group, enter: Callable[[Member, Room], None], *, now: float) -> None:
        request = self._activation.request(group.room.id)
        if group.recent is not None and request is not None:
            self._recent.goes_live(group.recent, request, now=now)
            group.recent = None
        # Another gateway may have come further: who was there waits for what it has had to go by.
        ready = [catch_up for catch_up in group.members.values() if not self._is_ahead(catch_up)]
        for catch_up in ready:
            self._forget(catch_up.member, group.room)
        for catch_up in ready:
            enter(catch_up.member, group.room)
            catch_up.listener.caught_up(catch_up.frames, snapshot=bool(catch_up.snapshots))

    def _refuse(self, group: Group) -> None:
        verdicts = group.verdicts.values()
        oldest = {partition: first - 1 for partition, first in group.oldest.items() if first > 0}
        epoch = self._positions.epoch(group.room.channel.value)
        for catch_up in self._end(group):
            self._activation.leave(group.room)
            if Verdict.EXPIRED in verdicts:
                catch_up.listener.expired("what follows the cursor is no longer held", Cursor(epoch, oldest))
            else:
                catch_up.listener.refused("the cursor is ahead of the stream")

    def _end(self, group: Group) -> list[CatchUp]:
        self._drop(group)
        ended = list(group.members.values())
        for catch_up in ended:
            self._forget(catch_up.member, group.room)
        return ended

    def _keep_no_more(self, group: Group) -> None:
        if group.recent is not None:
            self._recent.drop(group.recent)
            group.recent = None

    def _drop(self, group: Group) -> None:
        self._keep_no_more(group)
        self._asked.pop(group.request, None)
        self._answered.get(group.room.channel.value, {}).pop(group.request, None)
        kind = (group.room.id, group.stream, group.snapshot)
        if self._latest.get(kind) is group:
            del self._latest[kind]

    def _forget(self, member: Member, room: Room) -> bool:
        here = self._rooms.get(room.id, {})
        found = here.pop(member, None)
        if not here:
            self._rooms.pop(room.id, None)
        if found is None:
            return False
        member.catching_up -= 1
        group = found[0]
        group.members.pop(member, None)
        if not group.members:
            self._drop(group)
        return True
