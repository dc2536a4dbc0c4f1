"""Heads through the door. What they hold is compared with a map beside their code."""

import pytest

from shared.native import BadDataError, Head, KnownSeries, Matcher, SplitBatch, WriteLimits
from tests.support.remote_write import body
from tests.unit.head.world import OTHER, PARTITIONS, UID, WINDOW, World, new_heads

UP = {"__name__": "up", "job": "node"}


def series(count: int) -> list[dict[str, str]]:
    return [{"__name__": "requests_total", "pod": f"pod-{number}"} for number in range(count)]


def split(world: World, count: int) -> SplitBatch:
    requests = body([(labels, [(1_000, 1.0)]) for labels in series(count)])
    limits = WriteLimits(max_future_ms=None)
    return world.splitter.split(requests, uid=UID, shards=PARTITIONS, limits=limits, now_ms=0)


def test_what_was_written_is_read() -> None:
    world = World()
    world.write([(UP, [(1_000, 1.0), (2_000, 0.5)])])
    world.write([(UP, [(1_500, 7.0), (2_000, 9.0), (1_000, 1.0)])])
    assert world.select(Matcher("job", "=~", "n.+")) == {"__name__=up,job=node": [(1.0, "1"), (1.5, "7"), (2.0, "0.5")]}
    assert sum(head.conflicts for head in world.heads.values()) == 1
    assert sum(head.samples for head in world.heads.values()) == 3
    assert world.select(Matcher("job", "!=", "node")) == {}
    assert world.select(start=1_500, end=1_999) == {"__name__=up,job=node": [(1.5, "7")]}


def test_label_order_does_not_make_a_series() -> None:
    world = World()
    world.write([(UP, [(1_000, 1.0)]), (dict(reversed(UP.items())), [(2_000, 2.0)])])
    assert sum(head.active_series(UID) for head in world.heads.values()) == 1
    assert len(world.select()) == 1


def test_heads_say_which_keys_they_hold() -> None:
    world = World()
    known = KnownSeries(1000)
    batch = split(world, 20)
    keys = known.unknown(batch)
    assert sum(map(len, keys.values())) == 20 * 16
    assert set(keys) == set(batch.partitions)
    world.write([(labels, [(1_000, 1.0)]) for labels in series(15)])
    for partition, own in keys.items():
        held = world.heads[partition].holds(UID, own)
        assert len(held) == len(own) // 16
        assert world.heads[partition].holds(OTHER, own) == bytes(len(held))
        known.learn(b"".join(own[16 * at : 16 * at + 16] for at, flag in enumerate(held) if flag))
    assert len(known) == 15
    unknown = b"".join(known.unknown(batch).values())
    assert len(unknown) == 5 * 16
    rest, _ = batch.admit(unknown, active=15, by_metric={}, max_series=15, max_series_per_metric=100)
    assert rest.series == 15
    assert [(reason, samples) for reason, samples, _ in rest.refused] == [("series_limit", 5)]
    assert known.unknown(rest) == {}
    for _ in range(2):
        known.age()
    assert len(known) == 0


def test_instances_do_not_meet() -> None:
    world = World()
    world.write([(UP, [(1_000, 1.0)])])
    world.write([(UP, [(1_000, 2.0)])], uid=OTHER)
    assert world.select(uid=OTHER) == {"__name__=up,job=node": [(1.0, "2")]}
    assert sum(head.conflicts for head in world.heads.values()) == 0
    for head in world.heads.values():
        head.forget(UID)
    assert world.select() == {}
    assert sum(head.active_series(UID) for head in world.heads.values()) == 0
    assert len(world.select(uid=OTHER)) == 1


def test_a_generation_becomes_a_block_and_answers_stay() -> None:
    world = World()
    world.write([(labels, [(t * 15_000, t / 10) for t in range(100)]) for labels in series(50)])
    world.write([(UP, [(WINDOW + 5, 3.0)])])
    before = world.select()
    markers = world.seal(0)
    # Late: another generation of the same window.
    world.write([(UP, [(77, 1.0)]), (series(1)[0], [(0, 9.0)])])
    world.release(0, markers)
    after = world.select()
    assert after.pop("__name__=up,job=node") == [(0.077, "1"), (WINDOW / 1000 + 0.005, "3")]
    before.pop("__name__=up,job=node")
    assert after == before
    assert sum(head.samples for head in world.heads.values()) == 3
    assert world.select(Matcher("pod", "=", "pod-7"), start=30_000, end=45_000) == {
        "__name__=requests_total,pod=pod-7": [(30.0, "0.2"), (45.0, "0.3")]
    }


def test_replay_makes_the_same_generations() -> None:
    world = World()
    world.write([(labels, [(1_000, 1.0)]) for labels in series(20)])
    world.release(0, world.seal(0))
    world.write([(labels, [(1_500, 2.0), (WINDOW, 3.0)]) for labels in series(5)])
    markers = world.seal(0)
    for partition, replayed in world.replayed().items():
        head = world.heads[partition]
        live = [(w.window, w.first_offset, w.sealed, w.samples) for w in head.windows()]
        assert [(w.window, w.first_offset, w.sealed, w.samples) for w in replayed.windows()] == live
        assert replayed.series == head.series
        if (0, markers[partition]) in [(w.window, w.sealed) for w in head.windows()]:
            digests = [[parts.digest for parts in h.cut(0, markers[partition])] for h in (head, replayed)]
            assert digests[0] == digests[1]


def test_new_series_beyond_the_limits_are_refused() -> None:
    world = World()
    world.write([(labels, [(0, 1.0)]) for labels in series(10)])
    batch = split(world, 30)
    heads = list(world.heads.values())
    assert Head.admit(heads, batch, max_series=30, max_series_per_metric=30).series == 30
    full = Head.admit(heads, batch, max_series=10, max_series_per_metric=100)
    assert full.series == 10
    ((reason, samples, example),) = full.refused
    assert (reason, samples) == ("series_limit", 20)
    assert "the limit max_series is 10, and 10 series are active" in example
    assert "requests_total{pod=" in example
    of_metric = Head.admit(heads, batch, max_series=100, max_series_per_metric=12)
    assert of_metric.series == 12
    ((reason, samples, example),) = of_metric.refused
    assert (reason, samples) == ("metric_series_limit", 18)
    assert "the limit max_series_per_metric is 12, and 12 series of requests_total are active" in example


def test_series_are_counted_by_metric() -> None:
    world = World()
    world.write([(labels, [(0, 1.0)]) for labels in series(10)])
    world.write([(UP, [(WINDOW, 1.0)]), ({"__name__": "up", "job": "x"}, [(WINDOW, 1.0)])])
    heads = world.heads.values()
    counts = [head.metric_series(UID, ["up", "requests_total", "none"]) for head in heads]
    assert [sum(column) for column in zip(*counts, strict=True)] == [2, 10, 0]
    for head, (up, requests, _) in zip(heads, counts, strict=True):
        assert head.largest_metric(UID) == max(up, requests)
        assert head.largest_metric(OTHER) == 0
    world.release(0, world.seal(0))
    assert sum(head.largest_metric(UID) for head in heads) == 2


def test_the_rate_of_samples_is_that_of_the_log() -> None:
    world = World()
    world.write([(labels, [(0, 1.0)]) for labels in series(60)])
    for heads in (world.heads, world.replayed()):
        assert sum(head.samples_per_second(UID, 0) for head in heads.values()) == pytest.approx(1.0)
        assert sum(head.samples_per_second(UID, 90_000) for head in heads.values()) == 0
        assert sum(head.samples_per_second(OTHER, 0) for head in heads.values()) == 0


def test_metadata_is_kept_and_the_newest_counts() -> None:
    world = World()
    world.write([], [(1, "requests_total", "Requests.", "")])
    world.write([], [(1, "requests_total", "Requests served.", "")])
    held = [entry for head in world.heads.values() for entry in head.metadata(UID)]
    assert held == [("requests_total", 1, "Requests served.", "")]
    fresh = Head(0, window_ms=WINDOW)
    fresh.restore_metadata(UID, held)
    fresh.restore_metadata(UID, [("requests_total", 2, "older", "s"), ("up", 2, "", "")])
    assert fresh.metadata(UID) == [*held, ("up", 2, "", "")]
    assert fresh.metadata(OTHER) == []


def test_wrong_calls_say_what_is_wrong() -> None:
    head = Head(3, window_ms=WINDOW)
    with pytest.raises(BadDataError, match="partition 3 holds no generation of window 0 sealed at 5"):
        head.cut(0, 5)
    with pytest.raises(BadDataError, match="window_ms=0"):
        Head(0, window_ms=0)
    with pytest.raises(ValueError, match="at least one record"):
        Head.apply(new_heads(), [])
    with pytest.raises(ValueError, match="16 bytes"):
        head.active_series(b"short")


def test_memory_is_given_back() -> None:
    world = World()
    world.write([(labels, [(t * 15_000, float(t)) for t in range(50)]) for labels in series(200)])
    held = sum(head.memory_bytes for head in world.heads.values())
    assert held > 200 * 200
    assert sum(window.bytes for head in world.heads.values() for window in head.windows()) > 200 * 100
    world.release(0, world.seal(0))
    assert sum(head.memory_bytes for head in world.heads.values()) == 0
    assert all(head.series == 0 for head in world.heads.values())
