"""What the local store does beyond its contract."""

import pytest

from shared.errors import InternalError
from shared.local import records
from shared.local.store import LocalStore
from shared.native import Files, Journal, Packs
from tests.support.manifests import WINDOW, block, generation


class TestOpening:
    def test_the_width_of_windows_is_fixed_by_the_first_start(self) -> None:
        files = Files.simulated(1)
        LocalStore.open(files, "store", window_ms=7_200_000)
        LocalStore.open(files, "store", window_ms=7_200_000)
        with pytest.raises(InternalError, match="windows of 7200 s, not of 3600 s"):
            LocalStore.open(files, "store", window_ms=3_600_000)

    def test_a_newer_format_is_refused(self) -> None:
        files = Files.simulated(1)
        Journal.open(files, "store/directory.journal").commit({records.cursor_key(3): b"\x09"})
        with pytest.raises(InternalError, match="format 9"):
            LocalStore.open(files, "store")


class TestPut:
    async def test_a_pack_left_by_a_failed_write_makes_room(self) -> None:
        files = Files.simulated(1)
        store = LocalStore.open(files, "store")
        Packs.open(files, "store/packs").write("a1", [b"half"])
        manifest, payload = block("a1", WINDOW, 0, 10)
        await store.put(0, payload)
        assert await store.commit(0, [generation(manifest)])
        assert await store.fetch(manifest.keys) == [b"root", b"page"]

    async def test_keys_of_two_attempts_are_refused(self) -> None:
        store = LocalStore.open(Files.simulated(1), "store")
        _, first = block("a1", WINDOW, 0, 10)
        _, second = block("b2", WINDOW, 0, 10)
        with pytest.raises(InternalError, match="one attempt"):
            await store.put(0, type(first)(first.keys[:1] + second.keys[1:], first.values))

    async def test_bytes_are_counted_while_they_are_held(self) -> None:
        store = LocalStore.open(Files.simulated(1), "store")
        _, payload = block("a1", WINDOW, 0, 10)
        await store.put(0, payload)
        assert store.payload_bytes == 8
        await store.delete(0, payload.keys)
        assert store.payload_bytes == 0
