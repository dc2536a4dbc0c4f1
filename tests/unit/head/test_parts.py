"""Parts of heads that go to another process, through the door."""

import pytest

from shared.native import (
    BadDataError,
    CorruptError,
    ExecutionError,
    HeadSearch,
    IncomingPart,
    Matcher,
    Names,
    NamesSearch,
    OutgoingPart,
    Query,
    Selection,
    json_samples,
)
from tests.unit.head.world import UID, World

END = 1 << 60


def world() -> World:
    found = World()
    found.write([({"__name__": "up", "job": f"j{n}"}, [(t * 1000, t + n / 8) for t in range(50)]) for n in range(40)])
    return found


def outgoing(world: World, query: Query) -> list[OutgoingPart]:
    parts = HeadSearch(query, UID, [Matcher("__name__", "=", "up")], 0, END).parts(list(world.heads.values()))
    return [part.encode() for part in parts if part is not None]


def received(part: OutgoingPart, query: Query, size: int = 1000) -> IncomingPart:
    incoming = IncomingPart(query, len(part))
    for start in range(0, len(part), size):
        assert not incoming.is_complete
        incoming.add(part.frame(start, size))
    assert incoming.is_complete
    return incoming


def test_a_selection_over_sent_parts_equals_one_over_heads() -> None:
    here = world()
    query = Query()
    selection = Selection(query, [Matcher("__name__", "=", "up")], 0, END)
    for part in outgoing(here, Query()):
        selection.add_part(received(part, query).head_part())
    near = Selection(query, [Matcher("__name__", "=", "up")], 0, END)
    for head_part in HeadSearch(query, UID, [Matcher("__name__", "=", "up")], 0, END).parts(list(here.heads.values())):
        if head_part is not None:
            near.add_part(head_part)
    sent = json_samples(query, selection.finish(), 0, END, 0)
    assert sent == json_samples(query, near.finish(), 0, END, 0)
    assert sent[0].count(b'"metric"') == 40


def test_names_of_sent_parts() -> None:
    query = Query()
    names = Names(query, [], 0, END)
    for part in NamesSearch(Query(), UID, [], 0, END).parts(list(world().heads.values())):
        if part is not None:
            names.add_part(received(part.encode(), query).names_part())
    assert names.label_names() == ["__name__", "job"]
    assert len(names.label_values("job")) == 40


def test_what_was_changed_on_the_way_is_refused() -> None:
    [part, *_] = outgoing(world(), Query())
    data = bytearray(part.frame(0, len(part)))
    data[-1] ^= 1
    incoming = IncomingPart(Query(), len(data))
    incoming.add(bytes(data))
    with pytest.raises(CorruptError, match="checksum"):
        incoming.head_part()
    with pytest.raises(CorruptError, match="kind Names"):
        received(part, Query()).names_part()


def test_parts_are_paid_for_by_their_query() -> None:
    here = world()
    [part, *_] = outgoing(here, Query())
    with pytest.raises(ExecutionError, match="more than 100 bytes"):
        IncomingPart(Query(max_bytes=100), len(part))
    with pytest.raises(ExecutionError, match="more than 3 series"):
        received(part, Query(max_series=3)).head_part()
    query = Query()
    with pytest.raises(BadDataError, match="another query"):
        Selection(query, [], 0, END).add_part(received(part, Query()).head_part())


def test_a_part_is_used_once() -> None:
    [part, *_] = [p for p in HeadSearch(Query(), UID, [], 0, END).parts(list(world().heads.values())) if p is not None]
    encoded = part.encode()
    with pytest.raises(RuntimeError, match="added or encoded already"):
        part.encode()
    incoming = received(encoded, Query())
    incoming.head_part()
    with pytest.raises(RuntimeError, match="decoded already"):
        incoming.head_part()
    assert encoded.frame(len(encoded), 10) == b""
