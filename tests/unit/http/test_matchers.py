"""`match[]` and names in paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querier.api.matchers import label_name, matcher_sets, unescape_name
from shared.errors import BadDataError


def escape(name: str) -> str:
    """As a client escapes a name that is not one of letters, digits and underscores."""
    return "U__" + "".join("__" if c == "_" else c if c.isascii() and c.isalnum() else f"_{ord(c):x}_" for c in name)


@given(st.text(min_size=1, max_size=20))
def test_escaped_names_are_read_back(name: str) -> None:
    assert unescape_name(escape(name)) == name


@pytest.mark.parametrize("name", ["up", "__name__", "U__a_", "U__a_zz_", "U__a_110000_", "U__a_d800_", "U__a_1234567_"])
def test_what_is_not_escaped_or_malformed_stays(name: str) -> None:
    assert unescape_name(name) == name


def test_a_name_in_a_path_is_decoded() -> None:
    assert label_name(b"job") == "job"
    assert label_name(b"U__http_2e_method") == "http.method"
    assert label_name(b"%C3%A4%2Fb") == "ä/b"
    for bad in (b"", b"%ff", b"U__"):
        with pytest.raises(BadDataError, match=r"^invalid label name: "):
            label_name(bad)


@pytest.mark.parametrize("selector", ['{x=""}', '{x=~".*"}', '{x!="a"}', "{}"])
def test_a_selector_must_say_something(selector: str) -> None:
    with pytest.raises(BadDataError, match=r"match\[\] must contain at least one non-empty matcher"):
        matcher_sets(["up", selector])


@pytest.mark.parametrize("selector", ["up[5m]", "1+", "up offset 5m", '{x=~"("}', ""])
def test_only_plain_selectors(selector: str) -> None:
    with pytest.raises(BadDataError, match="parse error"):
        matcher_sets([selector])


def test_selectors_become_matchers() -> None:
    [[name, method]] = matcher_sets(['http{method!="GET"}'])
    assert (name.matches("GET"), method.matches("GET")) in {(False, False)}
    assert len(matcher_sets(["a", "b"])) == 2
