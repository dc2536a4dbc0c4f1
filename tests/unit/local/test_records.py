"""What the store's journal holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InternalError
from shared.local import records
from shared.local.records import Span
from shared.seams.store import Manifest, payload_keys

u64 = st.integers(0, (1 << 64) - 1)
i64 = st.integers(-(1 << 63), (1 << 63) - 1)


@st.composite
def manifests(draw: st.DrawFn) -> tuple[Manifest, dict[str, Span]]:
    count = draw(st.integers(1, 5))
    first = draw(st.integers(0, 100))
    keys = payload_keys(draw(st.text("0123456789abcdef", min_size=1, max_size=32)), first + count)[first:]
    spans = [Span(draw(u64), draw(u64), draw(st.integers(0, (1 << 32) - 1))) for _ in keys]
    manifest = Manifest(
        uid=draw(st.binary(min_size=16, max_size=16)),
        window=draw(i64),
        from_offset=draw(u64),
        to_offset=draw(u64),
        level=draw(st.integers(0, 9)),
        min_time=draw(i64),
        max_time=draw(i64),
        series=draw(u64),
        samples=draw(u64),
        digest=draw(st.binary(min_size=16, max_size=16)),
        root_key=keys[0],
        page_keys=keys[1:],
        lengths=tuple(span.length for span in spans),
        checksums=tuple(span.checksum for span in spans),
    )
    return manifest, dict(zip(keys, spans, strict=True))


class TestRoundTrip:
    @given(u64, u64, st.dictionaries(i64, u64))
    def test_cursor(self, generation: int, replay_from: int, through: dict[int, int]) -> None:
        value = records.encode_cursor(generation, replay_from, through)
        assert records.decode_cursor("cursor/00001", value) == (generation, replay_from, through)

    @given(st.lists(manifests(), max_size=4))
    def test_manifests(self, drawn: list[tuple[Manifest, dict[str, Span]]]) -> None:
        spans = {key: span for _, own in drawn for key, span in own.items()}
        written = tuple(manifest for manifest, own in drawn if all(spans[key] == span for key, span in own.items()))
        found, found_spans = records.decode_manifests("blocks/1/1", records.encode_manifests(written, spans))
        assert found == written
        assert found_spans == {key: spans[key] for manifest in written for key in manifest.keys}

    @given(st.dictionaries(st.text(), st.tuples(st.integers(0, 9), st.text(), st.text())))
    def test_metadata(self, metadata: dict[str, tuple[int, str, str]]) -> None:
        try:
            value = records.encode_metadata(metadata)
        except UnicodeEncodeError:
            return  # lone surrogates never get past the splitter
        assert records.decode_metadata("metadata/1/00", value) == metadata


class TestRefusals:
    def test_a_newer_format_is_named(self) -> None:
        with pytest.raises(InternalError, match=r"cursor/00001 .* format 2, this build reads 1"):
            records.decode_cursor("cursor/00001", b"\x02" + bytes(16))

    @pytest.mark.parametrize("value", [b"\x01", b"\x01" + bytes(17), b"\x01" + bytes(16 + 7)])
    def test_a_cursor_of_another_length(self, value: bytes) -> None:
        with pytest.raises(InternalError, match="no cursor"):
            records.decode_cursor("cursor/00001", value)

    @pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'[{"pack":"a"}]', b'[{"pack":"a","values":[]}]'])
    def test_what_is_no_list_of_manifests(self, text: bytes) -> None:
        with pytest.raises(InternalError, match="blocks/1/1"):
            records.decode_manifests("blocks/1/1", b"\x01" + text)

    def test_what_is_no_metadata(self) -> None:
        with pytest.raises(InternalError, match="no metadata"):
            records.decode_metadata("metadata/1/00", b'\x01["a"]')
