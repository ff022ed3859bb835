import asyncio
from dataclasses import dataclass

import pytest

from gateway.polling import ReadingAhead


@dataclass(frozen=True, slots=True)
class Record:
    value: bytes | None


A, B, C, D, E = (Record(letter.encode()) for letter in "abcde")
BIG = Record(bytes(3 * 1024 * 1024))


class Polls:
    """Answers as it is told, one `give` a poll."""

    def __init__(self) -> None:
        self._given: asyncio.Queue[list[Record] | Exception] = asyncio.Queue()
        self._asked = asyncio.Condition()
        self.asked = 0

    def give(self, *answers: list[Record] | Exception) -> None:
        for answer in answers:
            self._given.put_nowait(answer)

    async def __call__(self) -> list[Record]:
        async with self._asked:
            self.asked += 1
            self._asked.notify_all()
        answer = await self._given.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(5), self._asked:
            await self._asked.wait_for(lambda: self.asked >= times)


async def test_what_polls_bring_while_nobody_waits_is_taken_together_and_in_order():
    polls = Polls()
    async with ReadingAhead(polls) as ahead:
        polls.give([A], [B, C], [D])
        await polls.until_asked(4)
        assert await ahead.take() == [A, B, C, D]
        polls.give([E])
        assert await ahead.take() == [E]


async def test_a_poll_that_brings_nothing_ends_the_waiting_too():
    polls = Polls()
    async with ReadingAhead(polls) as ahead:
        polls.give([])
        assert await ahead.take() == []


async def test_a_failed_poll_is_told_after_all_that_came_before_it_and_again():
    polls = Polls()
    async with ReadingAhead(polls) as ahead:
        polls.give([A, Record(None)], LookupError("gone"))
        await polls.until_asked(2)
        assert await ahead.take() == [A, Record(None)]
        for _ in range(2):
            with pytest.raises(LookupError):
                await ahead.take()


async def test_nothing_more_is_read_while_too_much_waits():
    polls = Polls()
    async with ReadingAhead(polls) as ahead:
        polls.give([BIG], [BIG], [E])
        await polls.until_asked(2)
        # Ten times the pause between polls that nobody waits for.
        await asyncio.sleep(0.1)
        assert polls.asked == 2
        assert await ahead.take() == [BIG, BIG]
        assert await ahead.take() == [E]


async def test_leaving_ends_the_poll_under_way():
    polls = Polls()
    async with ReadingAhead(polls):
        await polls.until_asked(1)
    assert len(asyncio.all_tasks()) == 1
