"""What passes bytes between an MCP and the egress proxy: it ends with either side, and bounds how many come at once."""

import asyncio
from functools import partial

import pytest

from bridge.egress.relay import relay


async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


def relayed(folder, talk, behind=echo, most=2):
    """`talk(connect)` with a relay before `behind`, which listens at a socket, as the proxy does."""

    async def run():
        there, here = str(folder / "there"), str(folder / "here")
        if behind:
            await asyncio.start_unix_server(behind, there)
        await asyncio.start_unix_server(relay(partial(asyncio.open_unix_connection, there), "nobody is there", most), here)
        async with asyncio.timeout(5):
            return await talk(partial(asyncio.open_unix_connection, here))

    return asyncio.run(run())


def test_bytes_pass_both_ways_whole_and_the_end_too(tmp_path):
    sent = bytes(range(256)) * 4000

    async def talk(connect):
        reader, writer = await connect()
        writer.write(sent)
        writer.write_eof()
        return await reader.read()

    assert relayed(tmp_path, talk) == sent


def test_where_the_proxy_is_not_there_it_says_so_as_a_proxy_would(tmp_path):
    async def talk(connect):
        reader, _ = await connect()
        return await reader.read()

    said = relayed(tmp_path, talk, behind=None)

    assert said.startswith(b"HTTP/1.1 503 ") and said.endswith(b"\r\n\r\nnobody is there\n")


def test_so_many_at_once_and_one_that_ended_makes_room(tmp_path):
    async def talk(connect):
        first, second = await connect(), await connect()
        third, _ = await connect()
        refused = await third.read()
        first[1].close()
        second[1].write(b"on it goes")
        went_on = await second[0].read(10)
        while True:  # until the first is known to be gone
            reader, writer = await connect()
            writer.write(b"x")
            if (said := await reader.read(1)) == b"x":
                return refused, went_on
            assert said == b"H"

    refused, went_on = relayed(tmp_path, talk)

    assert b"more than 2 connections at once" in refused and went_on == b"on it goes"


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 403 Forbidden\r\n\r\n"], ids=["nothing", "an answer"])
def test_a_client_that_never_ends_is_cut_off_when_the_proxy_has_ended(tmp_path, says):
    """Else each would keep a place for ever."""

    async def answers(reader, writer):
        writer.write(says)
        writer.close()

    async def talk(connect):
        held = [await connect() for _ in range(2)]
        said = [await reader.read() for reader, _ in held]
        while b"more than" in (again := await (one := await connect())[0].read()):
            one[1].close()
        return [*said, again]

    assert relayed(tmp_path, talk, answers) == [says] * 3
