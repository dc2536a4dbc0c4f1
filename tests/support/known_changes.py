"""What Prometheus changed on purpose between 2.42, which Debian has, and 3.14, which is the reference.

Most of it never shows, because the random data and queries keep clear of it:

- windows are open on the left since 3.0: no sample and no step of a subquery lies on the left edge of a window;
- `sum`, `avg` and `avg_over_time` compensate and add in another order: only what is on the grid must be exact;
- since 2.54 `rate` compares the distance to zero after a missing start was replaced by half an interval: counters with
  gaps are far above what they grow by;
- since 2.50 bucket counts that differ by rounding are made equal: quantiles are asked of exact counts;
- since 3.0 a label's name may be any text, and `.` matches a line's end: there are no such names and values;
- `count_values` by three labels lost one of them from the second step on, in 2.42: there are two at most;
- since 2.47 `atan2` drops the name: its operands have none;
- the order of an instant vector means nothing but after `sort` and `topk`: rows are compared by their labels.

What cannot be kept out is named here, and a difference that one of these explains is none.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.support.differential import Question, Reply
from tests.support.queries import Node


@dataclass(frozen=True)
class Change:
    """`explains` is asked about a difference only."""

    reason: str
    explains: Callable[[Question, Node, Reply, Reply], bool]


def known_change(question: Question, query: Node, ours: Reply, theirs: Reply) -> str | None:
    """Why these answers may differ."""
    return next((change.reason for change in CHANGES if change.explains(question, query, ours, theirs)), None)


def _calls(query: Node, name: str) -> Iterator[Node]:
    return (part for part in query.parts() if part.form.startswith(name + "("))


def _predicts_from_a_fixed_time(_: Question, query: Node, __: Reply, ___: Reply) -> bool:
    return any("@" in call.children[0].text for call in _calls(query, "predict_linear"))


def _forgets_an_offset(_: Question, query: Node, __: Reply, ___: Reply) -> bool:
    arguments = [call.children[0] for call in _calls(query, "timestamp")]
    return any("@" in argument.text and "offset" in argument.text for argument in arguments)


def _counts_what_is_filtered(_: Question, __: Node, ours: Reply, theirs: Reply) -> bool:
    return theirs.status == 200 and ours.error is not None and ours.error[1].startswith("multiple matches for labels")


_SAME_LABELS = ("execution", "vector cannot contain metrics with the same labelset")


def _negates_in_turns(_: Question, query: Node, ours: Reply, theirs: Reply) -> bool:
    negates = any(part.form.startswith("-") for part in query.parts())
    return ours.status == 200 and theirs.error == _SAME_LABELS and negates


def _looks_past_the_last_step(question: Question, query: Node, ours: Reply, theirs: Reply) -> bool:
    looks_back = any(part.kind == "matrix" and part.children for part in query.parts())
    return ours.status == 200 and theirs.status == 422 and looks_back and question.step_s > 0


_GRAMMAR_OF_3 = re.compile(
    r"expected duration|unexpected (?:number|duration)|bad number or duration syntax|missing unit character in duration"
    r"|trailing commas not allowed|invalid (?:source |destination )?label name|unexpected metric identifier .* in"
    r"|unexpected string .* in (?:label matching|grouping opts)|unexpected result in StepInvariantExpr"
    r"|duration must be greater than 0"
)


def _reads_more(_: Question, __: Node, ours: Reply, theirs: Reply) -> bool:
    return ours.status in (200, 422) and theirs.error is not None and _GRAMMAR_OF_3.search(theirs.error[1]) is not None


CHANGES = (
    Change(
        "since 3.x a number is a duration, a duration a number, and a label's name any text; an offset may be 0, and a "
        "string stand in parentheses",
        _reads_more,
    ),
    Change(
        "until 2.50 a range fixed by @ moved on with the steps where predict_linear took it (prometheus#13559); and "
        "here the line is fitted around the fixed time, there around each step, which rounds otherwise",
        _predicts_from_a_fixed_time,
    ),
    Change(
        "timestamp() forgets the offset of a selector with @, in 3.14 too, and then sees what other selectors fetched",
        _forgets_an_offset,
    ),
    Change(
        "since 3.9 what a comparison filters away counts as matched (4cad87cae8)",
        _counts_what_is_filtered,
    ),
    Change(
        "since 3.9 negation joins series that are alike without their names and never meet (37b97a0200)",
        _negates_in_turns,
    ),
    Change(
        "until 3.13 a subquery was evaluated up to the end of a range query, so that it could fail at times behind the "
        "last step, which no window shows",
        _looks_past_the_last_step,
    ),
)
