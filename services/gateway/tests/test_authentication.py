"""Auth is asked once for a key however many ask at a time; whoever asks is answered once, and a revoked key never gets in."""

from collections.abc import Iterator

import pytest

from common.clock import ManualClock
from common.events import AuthReply, Decision
from common.identifiers import FencingEpoch, KeyHash, Slot
from common.topics import Topics
from gateway.authentication import AWAY, REVOKED, Authentication
from gateway.records import Records
from services.gateway.tests.roles import MemoryProducer
from services.gateway.tests.sending import sending

TIMEOUT = 5.0
KEY, OTHER = KeyHash("a" * 64), KeyHash("b" * 64)
ALLOWED = Decision(allowed=True, user="alice")
TOPICS = Topics()


class World:
    def __init__(self, records: Records) -> None:
        self.clock = ManualClock()
        self.authentication = Authentication(records, TOPICS, self.clock, timeout=TIMEOUT)
        self.authentication.leased(Slot(3), FencingEpoch(7))
        self.answers: list[Decision] = []

    def ask(self, key_hash: KeyHash = KEY) -> None:
        self.authentication.validate(key_hash, self.answers.append)

    def reply(self, decision: Decision = ALLOWED, *, request: int = 1, epoch: int = 7) -> None:
        for _ in self.replying(decision, request=request, epoch=epoch):
            pass

    def replying(self, decision: Decision = ALLOWED, *, request: int = 1, epoch: int = 7) -> Iterator[None]:
        """One more of those who asked is told at each step."""
        reply = AuthReply(request=request, epoch=FencingEpoch(epoch), key_hash=KEY, decision=decision)
        self.authentication.replied(reply.encode())
        return self.authentication.handing_out()

    def one_of_three_told(self) -> Iterator[None]:
        """Three have asked, auth has answered, and two are still to be told."""
        for _ in range(3):
            self.ask()
        telling = self.replying()
        next(telling)
        return telling


@pytest.fixture
def world():
    return World(Records())


async def test_a_request_names_the_slot_and_never_the_key():
    producer, records = MemoryProducer(), Records()
    world = World(records)
    async with sending(records, producer):
        world.ask()
        await records.flushed()
    (record,) = producer.on(TOPICS.auth_requests)
    assert record.key == KEY.encode()
    assert record.json == {"request": 1, "slot": 3, "epoch": 7, "key_hash": KEY, "at": world.clock.now_ms()}


async def test_those_who_ask_about_the_same_key_share_one_request():
    producer, records = MemoryProducer(), Records()
    world = World(records)
    async with sending(records, producer):
        for _ in range(10):
            world.ask()
        world.ask(OTHER)
        await records.flushed()
    assert len(producer.on(TOPICS.auth_requests)) == 2
    world.reply()
    assert world.answers == [ALLOWED] * 10


async def test_a_reply_is_taken_once(world):
    world.ask()
    world.reply()
    world.reply()
    assert world.answers == [ALLOWED]


async def test_after_the_reply_a_key_is_asked_about_anew(world):
    world.ask()
    world.reply()
    world.ask()
    assert world.answers == [ALLOWED]
    world.reply(request=2)
    assert world.answers == [ALLOWED, ALLOWED]


async def test_replies_for_another_lease_or_nobody_or_none_at_all_are_passed_over(world):
    world.ask()
    world.reply(epoch=6)
    world.reply(request=99)
    world.authentication.replied(b"{")
    list(world.authentication.handing_out())
    assert world.answers == []


async def test_auth_that_does_not_answer_is_away(world):
    world.ask()
    world.clock.advance(TIMEOUT - 0.1)
    world.authentication.tick()
    assert world.answers == []
    world.clock.advance(0.1)
    world.authentication.tick()
    assert world.answers == [AWAY]
    world.reply()
    assert world.answers == [AWAY]


async def test_without_a_slot_nobody_can_be_asked(world):
    world.ask()
    world.authentication.lost()
    assert world.answers == [AWAY]
    world.ask()
    assert world.answers == [AWAY, AWAY]


async def test_a_revoked_key_is_refused_without_asking(world):
    world.authentication.revoke(KEY)
    world.ask()
    assert world.answers == [REVOKED]


async def test_a_key_revoked_while_it_was_checked_is_refused_whatever_auth_says(world):
    world.ask()
    world.authentication.revoke(KEY)
    world.reply(ALLOWED)
    assert world.answers == [REVOKED]


async def test_who_is_still_to_be_told_of_an_answer_is_not_given_up(world):
    telling = world.one_of_three_told()
    world.clock.advance(TIMEOUT)
    world.authentication.tick()
    assert world.answers == [ALLOWED]
    list(telling)
    assert world.answers == [ALLOWED] * 3


async def test_a_key_revoked_while_decisions_are_handed_out_is_refused_from_then_on(world):
    telling = world.one_of_three_told()
    world.authentication.revoke(KEY)
    list(telling)
    assert world.answers == [ALLOWED, REVOKED, REVOKED]


async def test_a_slot_lost_while_decisions_are_handed_out_lets_nobody_in_any_more(world):
    telling = world.one_of_three_told()
    world.authentication.lost()
    list(telling)
    assert world.answers == [ALLOWED, AWAY, AWAY]


async def test_decide_waits_for_the_answer(world):
    world.authentication.revoke(KEY)
    assert await world.authentication.decide(KEY) == REVOKED
