"""A plan as a tree of lines, with what each part took if that is known."""

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.query.answer import number
from headrace.query.moments import shown

_HIDDEN = frozenset({"grid", "inner_grid", "keeps_name", "statistics_only", "shows", "return_bool", "is_scalar_left"})
"""What tells a reader little."""


def drawn(explanation: Mapping[str, Any]) -> str:
    """Selections first, then operators."""
    lines = [explanation["query"], ""]
    for index, select in enumerate(explanation["selects"]):
        lines += _select(index, select)
    lines += ["", *_node(explanation["plan"], "", "")]
    if took := explanation.get("took"):
        lines += ["", _totals(took)]
    return "\n".join(lines)


def _select(index: int, select: Mapping[str, Any]) -> Iterator[str]:
    readers = f", read by {select['readers']}" if select["readers"] > 1 else ""
    times = f"from {shown(select['from'])} through {shown(select['through'])}"
    yield f"[{index}] {{{', '.join(select['matchers'])}}} {times}{readers}"
    if took := select.get("took"):
        heads, store = took["sources"]["heads"], took["sources"]["store"]
        yield f"  {took['series']} series in {_seconds(took['seconds'])}"
        yield f"  heads: {_seconds(heads['seconds'])}"
        for head in heads["partitions"]:
            if head["series"]:
                replica = f" at {head['replica']}" if "replica" in head else ""
                yield f"    partition {head['partition']}{replica}: {head['series']} series, {_bytes(head['bytes'])}"
        if heads["missing"]:
            yield f"    missing: {', '.join(map(str, heads['missing']))}"
        yield f"  store: {store['fetches']} fetches, {_bytes(store['bytes'])}, {_seconds(store['seconds'])}"


def _node(node: Mapping[str, Any], first: str, further: str) -> Iterator[str]:
    details = " ".join(
        f"{name}={_detail(value)}" for name, value in node.get("with", {}).items() if name not in _HIDDEN
    )
    place = f" at {node['position']}" if "position" in node else ""
    took = f"  [{_took(node['took'])}]" if "took" in node else ""
    yield f"{first}{node['operator']}{' ' + details if details else ''}{place}{took}"
    children = node.get("children", [])
    for index, child in enumerate(children):
        is_last = index == len(children) - 1
        yield from _node(child, further + ("└─ " if is_last else "├─ "), further + ("   " if is_last else "│  "))


def _detail(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{_detail(inner)}" for name, inner in value.items() if inner not in (None, []))
    if isinstance(value, list):
        return f"({','.join(map(_detail, value))})"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _took(took: Mapping[str, Any]) -> str:
    parts = [
        _seconds(took["seconds"]),
        f"itself {_seconds(took['selfSeconds'])}",
        f"{took['series']} series of {took['steps']} steps",
        _bytes(took["bytes"]),
    ]
    if took["samplesRead"]:
        parts.append(f"{took['samplesRead']} samples read")
    return ", ".join(parts)


def _totals(took: Mapping[str, Any]) -> str:
    return (
        f"planned in {_seconds(took['planSeconds'])}, waited {_seconds(took['queueSeconds'])}, "
        f"selected in {_seconds(took['selectSeconds'])}, evaluated in {_seconds(took['evaluateSeconds'])}; "
        f"{took['samplesRead']} samples read, {took['peakSamples']} held at most, {_bytes(took['peakBytes'])} of memory"
    )


def _seconds(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.0f} µs"


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{number(count)} B"
