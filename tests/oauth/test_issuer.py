"""When the keys are asked for, and what becomes of them when the issuer does not answer."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from support.issuing import Issuer, Key

from bridge.log import Log
from bridge.oauth import issuer as module
from bridge.oauth.issuer import KeyStore
from bridge.oauth.keys import ALGORITHMS


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "COOLDOWN", 0.3)
    monkeypatch.setattr(module, "PATIENCE", 2.0)


@asynccontextmanager
async def kept(issuer: Issuer, jwks: str = ""):
    store = KeyStore("" if jwks else issuer.url, jwks, ALGORITHMS, Log())
    task = asyncio.create_task(store.keep_fresh())
    try:
        yield store
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until_it_may_change(store: KeyStore) -> None:
    async with asyncio.timeout(5):
        while not store.may_change():
            await asyncio.sleep(0.01)


def run(coroutine) -> None:
    asyncio.run(coroutine)


def test_all_who_wait_share_one_attempt_and_no_other_follows_soon():
    async def main():
        with Issuer(Key("old")).serving() as issuer:
            async with kept(issuer) as store:
                await asyncio.gather(*(store.changed() for _ in range(50)))
                assert store.keys is not None and issuer.asked.count("/keys") == 1
                assert not store.may_change()
                issuer.keys = [Key("new")]
                await until_it_may_change(store)
                await asyncio.gather(*(store.changed() for _ in range(50)))

                assert store.keys.find("new", "RS256") and not store.keys.find("old", "RS256")
                assert issuer.asked.count("/keys") == 2
                assert not store.may_change()

    run(main())


def test_keys_stay_when_the_issuer_is_down_or_talks_nonsense_and_change_when_it_is_back():
    async def main():
        with Issuer(Key("one")).serving() as issuer:
            async with kept(issuer) as store:
                await store.changed()
                changes: list[int] = []
                store.on_change = lambda: changes.append(1)
                for trouble in (
                    {"is_down": True},
                    {"document": {"jwks_uri": 7}},
                    {"keys": []},
                    {"document": {"issuer": "https://evil.example.com"}},
                ):
                    before = {name: getattr(issuer, name) for name in trouble}
                    for name, value in trouble.items():
                        setattr(issuer, name, value)
                    await until_it_may_change(store)
                    await store.changed()
                    assert store.keys.find("one", "RS256") and store.why
                    for name, value in before.items():
                        setattr(issuer, name, value)
                issuer.keys.append(Key("two", "ES256"))
                await until_it_may_change(store)
                await store.changed()

                assert store.keys.find("two", "ES256")
                assert changes == [1]

    run(main())


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"issuer": "https://evil.example.com"}, "it is of issuer 'https://evil.example.com'"),
        ({"jwks_uri": None}, "names no jwks_uri"),
        ({"jwks_uri": "file:///etc/passwd"}, "is not one to trust"),
        ({"jwks_uri": "http://127.0.0.1:1/keys"}, "http://127.0.0.1:1/keys: "),
        ({"jwks_uri": "http://[::1"}, "http://[::1: "),
        ({"jwks_uri": "http://127.0.0.1/\ud800"}, r"'http://127.0.0.1/\ud800' is not one to trust"),
    ],
)
def test_a_document_that_leads_astray_is_refused_by_what_is_wrong(document, why):
    async def main():
        with Issuer().serving() as issuer:
            issuer.document = document
            async with kept(issuer) as store:
                await store.changed()

                assert store.keys is None
                assert why in store.why

    run(main())


def test_an_issuer_that_fails_is_asked_no_oftener_for_all_the_tokens_that_come():
    async def main():
        with Issuer().serving() as issuer:
            issuer.is_down = True
            async with kept(issuer) as store:
                await store.changed()
                asked = len(issuer.asked)
                for _ in range(50):  # tokens, which come long before another attempt is due
                    assert not store.may_change()
                    await store.changed()
                assert len(issuer.asked) == asked

    run(main())


def test_an_address_that_no_client_can_ask_harms_nobody():
    async def main():
        store = KeyStore("http://127.0.0.1/\udcff", "", ALGORITHMS, Log())
        task = asyncio.create_task(store.keep_fresh())
        await store.changed()

        assert not task.done()
        assert store.keys is None and store.why
        task.cancel()

    run(main())


def test_an_issuer_that_says_nothing_is_given_up_in_time():
    async def main():
        silent = await asyncio.start_server(lambda reader, writer: asyncio.sleep(60), "127.0.0.1", 0)
        issuer = Issuer()
        issuer.url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with kept(issuer) as store:
            async with asyncio.timeout(5):
                await store.changed()
            async with asyncio.timeout(5):
                while not store.may_change():
                    await asyncio.sleep(0.01)

            assert store.keys is None and store.why
        silent.close()

    run(main())


def test_a_file_is_read_again(tmp_path):
    async def main():
        file = tmp_path / "jwks"
        file.write_bytes(Issuer(Key("old")).jwks())
        async with kept(Issuer(), str(file)) as store:
            await store.changed()
            file.write_bytes(Issuer(Key("new")).jwks())
            await until_it_may_change(store)
            await store.changed()
            assert store.keys.find("new", "RS256")
            file.unlink()
            await until_it_may_change(store)
            await store.changed()

            assert store.keys.find("new", "RS256")
            assert "No such file" in store.why

    run(main())
