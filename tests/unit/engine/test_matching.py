"""Vector matching: who meets whom, under which labels, and which errors say why not."""

import pytest

from shared import native

from .frames import frame_of, match, rows_of


@pytest.fixture
def query() -> native.Query:
    return native.Query()


def test_one_to_one_drops_the_name(query: native.Query) -> None:
    left = frame_of(query, [({"__name__": "a", "x": "1"}, [6]), ({"__name__": "a", "x": "2"}, [8])])
    right = frame_of(query, [({"__name__": "b", "x": "2"}, [4]), ({"__name__": "b", "x": "3"}, [1])])
    assert match(query, "/", left, right) == [({"x": "2"}, [2])]


def test_comparisons_filter_and_keep_the_left_side(query: native.Query) -> None:
    left = frame_of(query, [({"__name__": "a"}, [1, 5, None])])
    right = frame_of(query, [({"__name__": "b"}, [3, 3, 3])])
    assert match(query, ">", left, right) == [({"__name__": "a"}, [None, 5, None])]
    assert match(query, ">", left, right, return_bool=True) == [({}, [0, 1, None])]


def test_on_keeps_only_the_listed_labels(query: native.Query) -> None:
    left = frame_of(query, [({"__name__": "a", "x": "1", "y": "1"}, [1])])
    right = frame_of(query, [({"__name__": "b", "x": "1", "z": "1"}, [2])])
    assert match(query, "+", left, right, on=True, labels=["x"]) == [({"x": "1"}, [3])]
    assert match(query, "+", left, right, labels=["y", "z"]) == [({"x": "1"}, [3])]


def test_group_left_takes_labels_from_the_right(query: native.Query) -> None:
    left = frame_of(query, [({"i": "1", "mode": "idle"}, [1]), ({"i": "1", "mode": "user", "role": "x"}, [2])])
    right = frame_of(query, [({"i": "1", "role": "db"}, [10])])
    expected = [({"i": "1", "mode": "idle", "role": "db"}, [10]), ({"i": "1", "mode": "user", "role": "db"}, [20])]
    grouping = {"on": True, "labels": ["i"], "include": ["role"]}
    assert match(query, "*", left, right, card="many-to-one", **grouping) == expected
    assert match(query, "*", right, left, card="one-to-many", **grouping) == expected


def test_labels_follow_a_partner_that_changes(query: native.Query) -> None:
    many = frame_of(query, [({"i": "1"}, [1, 2])])
    one = frame_of(query, [({"i": "1", "v": "old"}, [10, None]), ({"i": "1", "v": "new"}, [None, 10])])
    rows = match(query, "*", many, one, card="many-to-one", on=True, labels=["i"], include=["v"])
    assert rows == [({"i": "1", "v": "new"}, [None, 20]), ({"i": "1", "v": "old"}, [10, None])]


def test_duplicates_on_the_one_side_name_both_series(query: native.Query) -> None:
    left = frame_of(query, [({"__name__": "s"}, [3])])
    right = frame_of(query, [({"__name__": "d", "l": "beta"}, [1]), ({"__name__": "d", "l": "alpha"}, [2])])
    with pytest.raises(native.ExecutionError) as raised:
        match(query, "+", left, right, on=True)
    assert str(raised.value) == (
        "found duplicate series for the match group {} on the right hand-side of the operation: "
        '[{__name__="d", l="alpha"}, {__name__="d", l="beta"}];'
        "many-to-many matching not allowed: matching labels must be unique on one side"
    )
    with pytest.raises(native.ExecutionError, match="on the left hand-side"):
        match(query, "+", right, left, on=True, card="one-to-many")


def test_duplicates_count_only_where_they_may_meet_something(query: native.Query) -> None:
    right = frame_of(query, [({"l": "a"}, [1, None]), ({"l": "b"}, [2, 5])])
    late = frame_of(query, [({"x": "1"}, [None, 3])])
    assert match(query, "+", late, right, on=True) == [({}, [None, 8])]
    early = frame_of(query, [({"x": "1"}, [3, None])])
    with pytest.raises(native.ExecutionError, match="found duplicate series"):
        match(query, "+", early, right, on=True)
    # Nothing matches them, yet both sides are there.
    with pytest.raises(native.ExecutionError, match="found duplicate series"):
        match(query, "+", early, right, on=True, labels=["y"])
    assert match(query, "+", frame_of(query, []), right, on=True) == []


@pytest.mark.parametrize("op", [">", "<", "+"])
def test_many_to_one_must_be_explicit_even_if_filtered(query: native.Query, op: str) -> None:
    many = frame_of(query, [({"l": "a", "j": "t"}, [0]), ({"l": "b", "j": "t"}, [5])])
    one = frame_of(query, [({"j": "t"}, [1])])
    with pytest.raises(native.ExecutionError) as raised:
        match(query, op, many, one, on=True, labels=["j"])
    assert str(raised.value) == (
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
    )


def test_grouping_labels_must_tell_results_apart(query: native.Query) -> None:
    many = frame_of(query, [({"__name__": "a", "j": "t"}, [1]), ({"__name__": "b", "j": "t"}, [2])])
    one = frame_of(query, [({"j": "t"}, [1])])
    with pytest.raises(native.ExecutionError) as raised:
        match(query, "+", many, one, on=True, labels=["j"], card="many-to-one")
    assert str(raised.value) == "multiple matches for labels: grouping labels must ensure unique matches"


def test_results_that_take_turns_share_a_row(query: native.Query) -> None:
    left = frame_of(query, [({"__name__": "a", "x": "1"}, [1, None]), ({"__name__": "b", "x": "1"}, [None, 2])])
    right = frame_of(query, [({"x": "1"}, [10, 10])])
    assert match(query, "+", left, right) == [({"x": "1"}, [11, 12])]


def test_fill_stands_in_for_the_missing_side(query: native.Query) -> None:
    left = frame_of(query, [({"__name__": "l", "x": "a"}, [1, None]), ({"__name__": "l", "x": "b"}, [2, 2])])
    right = frame_of(query, [({"__name__": "r", "x": "a"}, [10, 10]), ({"__name__": "r", "x": "c"}, [30, None])])
    assert match(query, "+", left, right, fill_left=0, fill_right=0) == [
        ({"x": "a"}, [11, 10]),
        ({"x": "b"}, [2, 2]),
        ({"x": "c"}, [30, None]),
    ]
    assert match(query, "+", left, right, fill_right=0) == [({"x": "a"}, [11, None]), ({"x": "b"}, [2, 2])]
    assert match(query, "+", frame_of(query, []), right, fill_left=5)[0] == ({"x": "a"}, [15, 15])


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("and", [({"x": "1"}, [1, None])]),
        ("unless", [({"x": "1"}, [None, 2]), ({"x": "2"}, [3, 3])]),
        ("or", [({"x": "1"}, [1, 2]), ({"x": "2"}, [3, 3]), ({"x": "3"}, [9, None])]),
    ],
)
def test_set_operators_decide_per_step(query: native.Query, op: str, expected: object) -> None:
    left = frame_of(query, [({"x": "1"}, [1, 2]), ({"x": "2"}, [3, 3])])
    right = frame_of(query, [({"x": "1"}, [7, None]), ({"x": "3"}, [9, None])])
    assert rows_of(query, native.set_operator(query, op, left, right, on=False, labels=[])) == expected


def test_a_frame_of_one_step_serves_all(query: native.Query) -> None:
    left = frame_of(query, [({"x": "1"}, [1, 2, None])])
    right = frame_of(query, [({"x": "1"}, [10])])
    assert match(query, "+", left, right) == [({"x": "1"}, [11, 12, None])]
    joined = native.set_operator(query, "and", left, right, on=False, labels=[])
    assert rows_of(query, joined) == [({"x": "1"}, [1, 2, None])]


def test_scalars_on_either_side(query: native.Query) -> None:
    frame = frame_of(query, [({"x": "1"}, [1, 5])])
    three = native.number(3, 1)
    kept = native.binary_scalar(query, "<", frame, three, scalar_left=True, return_bool=False)
    assert rows_of(query, kept) == [({"x": "1"}, [None, 5])]
    told = native.binary_scalar(query, "<", frame, three, scalar_left=True, return_bool=True)
    assert rows_of(query, told) == [({"x": "1"}, [0, 1])]
    taken = native.binary_scalar(query, "-", frame, three, scalar_left=True, return_bool=False)
    assert rows_of(query, taken) == [({"x": "1"}, [2, -2])]
