"""What comes is written in the serving task's place, once a turn; a client that does not take it holds up nobody, and
nothing is reordered."""

from __future__ import annotations

import asyncio
import random

import pytest

from chat.engine.begun import Begun
from chat.engine.reader import Delivery, Reader, ReaderDropped
from chat.engine.readers import Readers
from chat.engine.stream import Stream
from tests.engine.conftest import until
from tests.engine.test_reader import stream_of


class Client:
    """A connection as a server gives it: `taking` is cleared while its buffer is full. Serves its reader by a task."""

    def __init__(self, readers: Readers) -> None:
        self.reader: Reader = readers.open(self.drop, "test")
        self.taking = asyncio.Event()
        self.taking.set()
        self.writes: list[list[int]] = []
        self.by_task = 0
        self.pings = 0
        self.dropped = False
        self.reader.write = self.write
        self.task = asyncio.create_task(self.serve())

    @property
    def seqs(self) -> list[int]:
        return [seq for write in self.writes for seq in write]

    async def write(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            for _entry in delivery.entries[1:]:
                self.reader.progress()
        await self.taking.wait()
        if asyncio.current_task() is self.task:
            self.by_task += 1
        self.writes.append([entry.seq for delivery in deliveries for entry in delivery.entries])

    async def serve(self) -> None:
        while True:
            deliveries = await self.reader.read()
            if self.reader.left:
                return
            if deliveries:
                await self.write(deliveries)
            else:
                self.pings += 1
            if any(delivery.last for delivery in deliveries):
                return

    def drop(self) -> None:
        self.dropped = True
        self.task.cancel()


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_turn_of_the_loop_is_one_write_and_wakes_no_task() -> None:
    readers = Readers()
    client, first, second = Client(readers), stream_of(0), stream_of(0, "h")
    client.reader.follow(first, 0, [], replay=False)
    client.reader.follow(second, 0, [], replay=False)
    await turns(5)
    for _ in range(3):
        first.append("message", b"x")
        second.append("message", b"y")
    await turns()
    assert client.writes == [[1, 2, 3, 1, 2, 3]]
    assert client.by_task == 0


async def test_the_end_is_written_by_the_task_that_serves() -> None:
    client, stream = Client(Readers()), stream_of(0)
    client.reader.follow(stream, 0, [], replay=False)
    await turns(5)
    stream.append("message", b"x")
    await turns()
    stream.append("message", b"the end")
    stream.ended_at = 0.0
    await asyncio.wait_for(client.task, 5)
    assert client.seqs == [1, 2]
    assert client.by_task == 1


async def test_a_client_that_takes_nothing_holds_up_nobody_and_misses_nothing() -> None:
    readers = Readers()
    stuck, other, stream = Client(readers), Client(readers), stream_of(0)
    for client in (stuck, other):
        client.reader.follow(stream, 0, [], replay=False)
    await turns(5)
    stuck.taking.clear()
    for number in range(1, 6):
        stream.append("message", b"%d" % number)
        await turns()
        assert other.seqs[-1] == number
    assert stuck.seqs == []
    stuck.taking.set()
    await until(lambda: stuck.seqs == [1, 2, 3, 4, 5])
    stream.append("message", b"6")
    await turns()
    assert stuck.seqs == other.seqs == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("seed", range(20))
async def test_any_mixture_of_stalls_and_events_arrives_once_and_in_order(seed: int) -> None:
    chance, readers, stream = random.Random(seed), Readers(), stream_of(0)
    clients = [Client(readers) for _ in range(3)]
    for client in clients:
        client.reader.follow(stream, 0, [], replay=False)
    for _ in range(300):
        what = chance.random()
        if what < 0.5:
            stream.append("message", b"x" * chance.choice([1, 10_000]))
        elif what < 0.7:
            await asyncio.sleep(0)
        else:
            client = chance.choice(clients)
            client.taking.clear() if client.taking.is_set() else client.taking.set()
    stream.append("message", b"the end")
    stream.ended_at = 0.0
    for client in clients:
        client.taking.set()
        await asyncio.wait_for(client.task, 5)
        assert client.seqs == list(range(1, stream.last + 1))


async def test_who_was_written_to_and_took_it_is_quiet_and_not_stalled() -> None:
    readers, stream = Readers(ping_seconds=5, stall_seconds=1), stream_of(0)
    client, loop = Client(readers), asyncio.get_running_loop()
    client.reader.follow(stream, 0, [], replay=False)
    await turns(5)
    stream.append("message", b"x")
    stream.append("message", b"y")
    await turns()
    assert client.seqs == [1, 2]
    readers.sweep(loop.time() + 4)
    await turns()
    assert not client.dropped
    readers.sweep(loop.time() + 6)
    await until(lambda: client.pings == 1)


async def test_who_takes_nothing_for_too_long_is_dropped() -> None:
    readers, stream = Readers(stall_seconds=1), stream_of(0)
    client, loop = Client(readers), asyncio.get_running_loop()
    client.reader.follow(stream, 0, [], replay=False)
    await turns(5)
    client.taking.clear()
    stream.append("message", b"x")
    await turns()
    readers.sweep(loop.time() + 2)
    assert client.dropped
    await asyncio.wait([client.task])
    assert not stream.readers


async def test_a_write_that_fails_fails_in_the_task_that_serves() -> None:
    client, stream = Client(Readers()), stream_of(0)

    async def broken(deliveries: list[Delivery]) -> None:
        raise ConnectionError("the client has gone")

    client.reader.write = broken
    client.reader.follow(stream, 0, [], replay=False)
    await turns(1)
    stream.append("message", b"x")
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(client.task, 5)


async def test_a_reader_that_fell_behind_what_is_held_is_dropped_from_its_task() -> None:
    readers, stream = Readers(), Stream("g", limit=100)
    client = Client(readers)
    client.reader.follow(stream, 0, [], replay=False)
    await turns(5)
    client.taking.clear()
    for _ in range(50):
        stream.append("message", b"x" * 20)
        await turns()
    client.taking.set()
    with pytest.raises(ReaderDropped):
        await asyncio.wait_for(client.task, 5)
    assert client.seqs == [1]


async def test_a_step_that_does_not_suspend_needs_nobody() -> None:
    done = []

    async def at_once() -> None:
        done.append(True)

    assert Begun.step(at_once()) is None
    assert done == [True]


async def test_what_has_begun_can_be_cancelled_and_given_up() -> None:
    released, ends = asyncio.Event(), []

    async def waiting() -> None:
        try:
            await released.wait()
            await released.wait()
            ends.append("whole")
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        except GeneratorExit:
            ends.append("given up")
            raise

    async def finish(begun: Begun) -> None:
        await begun

    first, second, third = (Begun.step(waiting()) for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    task = asyncio.create_task(finish(first))
    await turns()
    task.cancel()
    await asyncio.wait([task])
    second.close()
    released.set()
    await finish(third)
    assert ends == ["cancelled", "given up", "whole"]
