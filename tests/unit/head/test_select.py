"""Selections and names through the door."""

import json

import pytest

from shared.native import BadDataError, Matcher, Names, NamesSearch, Query, Selection
from tests.unit.head.world import OTHER, UID, WINDOW, World


def world_of_two_windows() -> World:
    """`up` of two jobs; the first window of it in blocks, the second in heads; a third series in the second only."""
    world = World()
    jobs = [{"__name__": "up", "job": job} for job in ("api", "db")]
    world.write([(labels, [(1_000, 1.0)]) for labels in jobs])
    world.release(0, world.seal(0))
    world.write([(labels, [(WINDOW + 1_000, 1.0)]) for labels in [*jobs, {"__name__": "Down", "zone": 'a"b'}]])
    world.write([({"__name__": "secret"}, [(1_000, 1.0)])], uid=OTHER)
    return world


def names(world: World, *sets: list[Matcher], start: int = 0, end: int = 1 << 60) -> Names:
    query = Query()
    found = Names(query, list(sets), start, end)
    for partition, head in world.heads.items():
        for owner, reader, _ in world.blocks[partition]:
            if owner == UID:
                found.add_block(reader)
        [part] = NamesSearch(query, UID, list(sets), start, end).parts([head])
        if part is not None:
            found.add_part(part)
    return found


def test_a_series_of_blocks_and_heads_is_one_row() -> None:
    answer = world_of_two_windows().select(Matcher("job", "=", "db"))
    assert answer == {"__name__=up,job=db": [(1.0, "1"), (WINDOW / 1000 + 1, "1")]}


def test_names_without_matchers() -> None:
    world = world_of_two_windows()
    assert names(world).label_names() == ["__name__", "job", "zone"]
    assert names(world).label_values("__name__") == ["Down", "up"]
    assert names(world).label_values("nothing") == []
    assert names(world, end=WINDOW - 1).label_values("__name__") == ["up"]


def test_names_with_matchers() -> None:
    world = world_of_two_windows()
    either = names(world, [Matcher("job", "=", "db")], [Matcher("zone", "!=", "")])
    assert either.label_values("job") == ["db"]
    assert either.label_names() == ["__name__", "job", "zone"]
    rows, is_cut = either.series_json(0)
    assert json.loads(rows) == [{"__name__": "Down", "zone": 'a"b'}, {"__name__": "up", "job": "db"}]
    assert not is_cut
    rows, is_cut = either.series_json(1)
    assert json.loads(rows) == [{"__name__": "Down", "zone": 'a"b'}]
    assert is_cut
    assert names(world, [Matcher("job", "=", "nowhere")]).series_json(0) == (b"[]", False)


def test_a_selection_is_used_in_order_and_once() -> None:
    selection = Selection(Query(), [], 0, 1)
    with pytest.raises(BadDataError, match="call add_block first"):
        selection.supply([])
    assert len(selection.finish()) == 0
    with pytest.raises(RuntimeError, match="was finished"):
        selection.finish()


def test_matchers() -> None:
    assert Matcher("a", "=~", "b|c").matches("c")
    assert not Matcher("a", "=~", "b").matches("bb")
    assert Matcher("a", "!~", "b").matches("")
    with pytest.raises(BadDataError, match="error parsing regexp"):
        Matcher("a", "=~", "(")
    with pytest.raises(ValueError, match="none of"):
        Matcher("a", "~", "b")  # type: ignore[arg-type]
