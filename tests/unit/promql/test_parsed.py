"""What is remembered of texts that were read."""

import pytest

from querier.promql import ALL_FEATURES, ParseError
from querier.promql.features import DEFAULT_FEATURES
from querier.promql.parsed import BYTES_PER_CHARACTER, ParsedQueries


def test_a_text_is_read_once_for_each_set_of_features() -> None:
    queries = ParsedQueries()
    read = queries.of("sum(a) / sum(b)", DEFAULT_FEATURES)
    assert queries.of("sum(a) / sum(b)", DEFAULT_FEATURES) is read
    assert queries.of("sum(a) / sum(b)", ALL_FEATURES) is not read
    assert read.type == "vector"
    assert read.height == 3


def test_what_an_instance_may_not_say_is_refused_though_another_may() -> None:
    queries = ParsedQueries()
    queries.of("x smoothed", ALL_FEATURES)
    for _ in range(2):
        with pytest.raises(ParseError, match="smoothed modifier is experimental"):
            queries.of("x smoothed", DEFAULT_FEATURES)


def test_those_not_asked_for_longest_make_room() -> None:
    queries = ParsedQueries(16 * 4 * BYTES_PER_CHARACTER)  # sixteen texts of four characters
    texts = [f"a{i:03}" for i in range(17)]
    first = [queries.of(text, DEFAULT_FEATURES) for text in texts[:16]]
    assert queries.of(texts[0], DEFAULT_FEATURES) is first[0]
    queries.of(texts[16], DEFAULT_FEATURES)
    assert queries.of(texts[0], DEFAULT_FEATURES) is first[0]
    assert queries.of(texts[1], DEFAULT_FEATURES) is not first[1]


def test_what_is_long_or_has_large_regular_expressions_is_not_kept() -> None:
    queries = ParsedQueries()
    for text in ("1 + " * 1100 + "1", '{a=~"' + "[a-z]{1000}" * 5 + '"}'):
        first, again = (queries.of(text, DEFAULT_FEATURES) for _ in range(2))
        is_kept = first is again  # pytest cannot show a tree so high
        assert not is_kept
