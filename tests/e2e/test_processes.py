"""`python -m gateway --processes 2`: two gateways on one port, each with its slot; what dies is started anew; SIGTERM drains both."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

from deploy.local.ports import free_port, require_free
from deploy.local.settings import LocalError
from tests.support.client import Client
from tests.support.connect import Connect
from tests.support.samples import unique, update
from tests.support.system import Service, System
from tests.support.waiting import eventually

MAX_CLIENTS = 40
"""The kernel spreads connections by their ports: that all of so many go to one process happens once in 2**39."""


def two_ports() -> int:
    """The first of two free ports in a row."""
    while True:
        port = free_port()
        try:
            require_free(port + 1, "GATEWAY_PROCESS_PORT")
        except LocalError:
            continue
        return port


def pids(supervisor: Service, number: int) -> list[int]:
    """Of the processes that ran under a number, in their order."""
    lines = (line for line in supervisor.log() if line["event"] == "process_started")
    return [line["pid"] for line in lines if line["process"] == number]


async def connected(connect: Connect, gateway: Service, processes: Sequence[Service]) -> list[Client]:
    """Clients of the shared port, so many that each process has some."""
    clients: list[Client] = []
    while not all(each.count("gateway_connections") for each in processes):
        assert len(clients) < MAX_CLIENTS
        clients.append(await connect(gateway=gateway))
    return clients


async def test_two_processes_serve_one_port_the_dead_is_replaced_and_both_drain(own_system: System):
    base = two_ports()
    await own_system.start_meanwhile("auth")
    await own_system.start_meanwhile("router")
    gateway = own_system.launch("gateway", "--processes", "2", gateway_process_port=str(base))
    processes = [Service(gateway.child, base + number, apart=True) for number in range(2)]
    for each in (gateway, *processes):
        await asyncio.to_thread(each.wait_ready)
    async with Connect(own_system) as connect, own_system.producer() as producer:
        clients, token = await connected(connect, gateway, processes), unique("token")
        for client in clients:
            await client.subscribe("prices", {"tokenIds": [token]})
        published = await producer.publish(update("prices", tokenId=token))
        for client in clients:
            await client.expect_updates(published)

        os.kill(pids(gateway, 0)[0], signal.SIGKILL)

        async def parted() -> bool:
            return processes[1].count("gateway_connections") == sum(client.close_code is None for client in clients)

        await eventually(parted, "who was with the dead process is cut off, the others are not")
        staying = [client for client in clients if client.close_code is None]
        assert 0 < len(staying) < len(clients)
        published = await producer.publish(update("prices", tokenId=token))
        for client in staying:
            await client.expect_updates(published)
        await asyncio.to_thread(processes[0].wait_ready)
        assert len(pids(gateway, 0)) == 2
        assert len(pids(gateway, 1)) == 1

        gateway.terminate()
        for client in staying:
            assert await client.closed() == 4000
    assert await asyncio.to_thread(gateway.wait) == 0


async def test_processes_end_when_their_supervisor_is_killed(own_system: System):
    base = two_ports()
    gateway = own_system.launch("gateway", "--processes", "2", gateway_process_port=str(base))
    processes = [Service(gateway.child, base + number, apart=True) for number in range(2)]
    for each in processes:
        await asyncio.to_thread(each.wait_ready)
    gateway.kill()

    async def gone() -> bool:
        return [await asyncio.to_thread(each.readiness) for each in processes] == [None, None]

    await eventually(gone, "nobody listens any more", limit=20)


async def test_a_second_signal_ends_all_at_once(own_system: System):
    """They are frozen, so they cannot drain; the status says so."""
    base = two_ports()
    gateway = own_system.launch("gateway", "--processes", "2", gateway_process_port=str(base))
    processes = [Service(gateway.child, base + number, apart=True) for number in range(2)]
    for each in processes:
        await asyncio.to_thread(each.wait_ready)
    for number in range(2):
        os.kill(pids(gateway, number)[0], signal.SIGSTOP)
    gateway.terminate()
    gateway.child.process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(gateway.wait) == 1
    for each in processes:
        assert await asyncio.to_thread(each.readiness) is None
