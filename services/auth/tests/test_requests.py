"""Batches of requests, answered into memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auth.keys import KeyRecord
from auth.replies import MemoryReplies
from auth.requests import Requests
from common.events import AuthReply, AuthRequest
from common.identifiers import FencingEpoch, KeyHash, Slot
from services.auth.tests.test_validation import A, B, System

SLOTS = 8


class Service:
    def __init__(self, *keys: KeyHash) -> None:
        self.system = System(*keys)
        self.replies = MemoryReplies()
        self.requests = Requests(
            self.system.validator, self.replies, slots=SLOTS, max_age_ms=10_000, clock=self.system.clock
        )

    def request(self, number: int, key_hash: KeyHash, *, slot: int = 1, age_ms: int = 0) -> AuthRequest:
        at = self.system.clock.now_ms() - age_ms
        return AuthRequest(request=number, slot=Slot(slot), epoch=FencingEpoch(5), key_hash=key_hash, at=at)

    def answered(self) -> dict[int, tuple[int, AuthReply]]:
        read = [(slot, AuthReply.model_validate_json(reply)) for slot, reply in self.replies.sent]
        return {reply.request: (slot, reply) for slot, reply in read}


async def test_each_reply_goes_to_the_asking_slot_and_echoes_request_and_epoch():
    service = Service(A)
    await service.requests.handle([service.request(1, A, slot=0), service.request(2, B, slot=7)])
    answered = service.answered()
    assert {number: slot for number, (slot, _) in answered.items()} == {1: 0, 2: 7}
    assert {number: (reply.epoch, reply.key_hash) for number, (_, reply) in answered.items()} == {1: (5, A), 2: (5, B)}
    assert {number: reply.decision.allowed for number, (_, reply) in answered.items()} == {1: True, 2: False}


async def test_requests_for_one_key_share_a_lookup_and_are_all_answered():
    service = Service(A)
    await service.requests.handle([service.request(number, A, slot=number % SLOTS) for number in range(50)])
    assert len(service.answered()) == 50
    assert service.system.store.asked == [A]


async def test_requests_that_their_gateway_gave_up_are_passed_over():
    service = Service(A)
    await service.requests.handle([service.request(1, A, age_ms=10_001), service.request(2, A, age_ms=10_000)])
    assert set(service.answered()) == {2}


async def test_a_request_for_a_slot_that_does_not_exist_harms_no_other():
    service = Service(A)
    await service.requests.handle(
        [service.request(1, A, slot=SLOTS), service.request(2, A, slot=-1), service.request(3, A)]
    )
    assert set(service.answered()) == {3}


async def test_limits_taken_away_are_told_as_null():
    service = Service()
    service.system.store.records[A] = KeyRecord(key_hash=A, limits={"subscriptions": None})
    await service.requests.handle([service.request(1, A)])
    assert service.answered()[1][1].decision.limits == {"subscriptions": None}


keys = [KeyHash(f"{number:064x}") for number in range(6)]


@given(
    asked=st.lists(st.tuples(st.sampled_from(keys), st.integers(0, SLOTS - 1)), max_size=40),
    known=st.sets(st.sampled_from(keys)),
    revoked=st.sets(st.sampled_from(keys)),
)
async def test_every_request_is_answered_once_and_only_known_unrevoked_keys_are_allowed(asked, known, revoked):
    service = Service(*known)
    service.system.revoked.add(revoked)
    await service.requests.handle([service.request(number, key, slot=slot) for number, (key, slot) in enumerate(asked)])
    assert len(service.replies.sent) == len(asked)
    for number, (key, slot) in enumerate(asked):
        to, reply = service.answered()[number]
        assert (to, reply.key_hash) == (slot, key)
        assert reply.decision.allowed is (key in known - revoked)
