"""Parameters of a request, and the grammar of times, durations and numbers, with Prometheus's error texts."""

import asyncio
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from urllib.parse import parse_qsl

from querier.promql.tokens import quoted
from shared.asgi.messages import Request
from shared.durations import parse_duration_ms
from shared.errors import BadDataError

MAX_FORM_BYTES = 10 << 20
MAX_FIELDS = 100_000
MAX_PART_HEAD_BYTES = 1024

_THREAD_ABOVE_BYTES = 64 << 10
"""A form of this size takes about a millisecond to read; the event loop has better to do."""

MIN_TIME_MS = (-(2**63) // 1000 + 62135596801 + 1) * 1000
MAX_TIME_MS = ((2**63 - 1) // 1000 - 62135596801) * 1000 + 999
"""The times that Prometheus can represent; what lies beyond is taken as the nearer of the two."""

_NAMED_TIMES = {"-292273086-05-16T16:47:06Z": MIN_TIME_MS, "292277025-08-18T07:12:54.999999999Z": MAX_TIME_MS}
_MAX_INT64 = 2**63 - 1
_NS_PER_S = 1_000_000_000

# Possessive, so that a long text that is no number is seen through in one pass.
_FLOAT = re.compile(
    r"[+-]?(?:(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"
    r"|0[xX](?:[0-9a-fA-F_]++(?:\.[0-9a-fA-F_]*+)?|\.[0-9a-fA-F]++)[pP][+-]?[0-9]++)"
)
_INTEGER = re.compile(r"[+-]?[0-9]+")
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_BOUNDARY = re.compile(rb'boundary=(?:"([^"]{1,70})"|([^";\s]{1,70}))', re.IGNORECASE)
_PART_NAME = re.compile(rb'^content-disposition:[^\r\n]*[; ]name="([^"\r\n]*)"', re.IGNORECASE | re.MULTILINE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Params = dict[str, list[str]]
Pairs = list[tuple[str, str]]


async def read_params(request: Request) -> Params:
    """URL and form together: a form's values stand before the URL's, so that they win where only the first counts."""
    pairs: Pairs = []
    if request.method == "POST":
        content_type = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if content_type == b"application/x-www-form-urlencoded":
            pairs = await _in_place(_pairs, await request.body(MAX_FORM_BYTES))
        elif content_type == b"multipart/form-data":
            parse = partial(_multipart, request.headers[b"content-type"])
            pairs = await _in_place(parse, await request.body(MAX_FORM_BYTES))
    if request.query_string:
        pairs += await _in_place(_pairs, request.query_string)
    params: Params = {}
    for name, value in pairs:
        params.setdefault(name, []).append(value)
    return params


async def _in_place(parse: Callable[[bytes], Pairs], form: bytes) -> Pairs:
    return parse(form) if len(form) <= _THREAD_ABOVE_BYTES else await asyncio.to_thread(parse, form)


def _pairs(form: bytes) -> Pairs:
    try:
        return parse_qsl(form.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise BadDataError(f"more than {MAX_FIELDS} parameters") from None


def _multipart(content_type: bytes, body: bytes) -> Pairs:
    """The named parts. (Python's own parser is for mail: it takes a second for a megabyte, and parts nest.)"""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise BadDataError("multipart/form-data without a boundary in its Content-Type")
    delimiter = b"\r\n--" + (boundary[1] or boundary[2])
    pairs = []
    for part in (b"\r\n" + body).split(delimiter, MAX_FIELDS)[1:]:
        head, blank, content = part.partition(b"\r\n\r\n")
        name = _PART_NAME.search(head[:MAX_PART_HEAD_BYTES])
        if blank and name is not None:
            pairs.append((name[1].decode("utf-8", "replace"), content.decode("utf-8", "replace")))
    return pairs


def first(params: Params, name: str) -> str:
    """Empty if it is not there."""
    values = params.get(name)
    return values[0] if values else ""


def invalid(name: str, reason: object) -> BadDataError:
    return BadDataError(f'invalid parameter "{name}": {reason}')


def parse_time(text: str) -> int:
    """Milliseconds, from seconds as a float or from RFC 3339. Raises ValueError with Prometheus's text."""
    seconds = _float(text)
    if seconds is not None:
        if math.isfinite(seconds) and abs(seconds) < 2**53:
            fraction, whole = math.modf(seconds)
            return int(whole) * 1000 + round_half_away(fraction * 1000)
        return MAX_TIME_MS if seconds > 0 else MIN_TIME_MS
    parts = _RFC3339.fullmatch(text)
    if parts:
        try:
            return _rfc3339(parts)
        except ValueError:
            pass
    if text in _NAMED_TIMES:
        return _NAMED_TIMES[text]
    raise ValueError(f"cannot parse {quoted(text)} to a valid timestamp")


def parse_duration_ns(text: str) -> int:
    """Nanoseconds, from seconds as a float or from units. Raises ValueError with Prometheus's text."""
    seconds = _float(text)
    if seconds is not None:
        nanoseconds = seconds * _NS_PER_S
        if not -(2**63) <= nanoseconds <= _MAX_INT64:
            raise ValueError(f"cannot parse {quoted(text)} to a valid duration. It overflows int64")
        return int(nanoseconds)
    try:
        if text:
            return parse_duration_ms(text) * 1_000_000
    except ValueError:
        pass
    raise ValueError(f"cannot parse {quoted(text)} to a valid duration")


def parse_integer(text: str) -> int:
    """As Go's Atoi. Raises ValueError with its text."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"strconv.Atoi: parsing {quoted(text)}: invalid syntax")
    value = int(text[:40])
    if not -_MAX_INT64 - 1 <= value <= _MAX_INT64:
        raise ValueError(f"strconv.Atoi: parsing {quoted(text)}: value out of range")
    return value


def required_time(params: Params, name: str) -> int:
    try:
        return parse_time(first(params, name))
    except ValueError as error:
        raise invalid(name, error) from None


def optional_time(params: Params, name: str, default: int) -> int:
    text = first(params, name)
    if not text:
        return default
    try:
        return parse_time(text)
    except ValueError as error:
        raise invalid(name, f"invalid time value for '{name}': {error}") from None


def limit(params: Params) -> int:
    """0: none."""
    text = first(params, "limit")
    if not text:
        return 0
    try:
        value = parse_integer(text)
    except ValueError as error:
        raise invalid("limit", error) from None
    if value < 0:
        raise invalid("limit", "limit must be non-negative")
    return value


def boolean(params: Params, name: str, *, default: bool = False) -> bool:
    """As Go's ParseBool."""
    text = first(params, name)
    if not text:
        return default
    if text not in _TRUE | _FALSE:
        raise invalid(name, f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax")
    return text in _TRUE


def timeout_s(params: Params, longest_s: float) -> float:
    """A request can only shorten what the server allows."""
    text = first(params, "timeout")
    if not text:
        return longest_s
    try:
        return min(parse_duration_ns(text) / _NS_PER_S, longest_s)
    except ValueError as error:
        raise invalid("timeout", error) from None


def lookback_ms(params: Params, default_ms: int) -> int:
    text = first(params, "lookback_delta")
    if not text:
        return default_ms
    try:
        value = parse_duration_ns(text) // 1_000_000
    except ValueError as error:
        raise BadDataError(f"error parsing lookback delta duration: {error}") from None
    return value if value > 0 else default_ms


def round_half_away(value: float) -> int:
    return math.floor(value + 0.5) if value >= 0 else -math.floor(-value + 0.5)


def _float(text: str) -> float | None:
    """None for what is no number; what is too large is infinite."""
    if not _FLOAT.fullmatch(text):
        return None
    if "x" not in text.lower():
        return float(text)
    try:
        return float.fromhex(text.replace("_", ""))
    except OverflowError:
        return -math.inf if text[0] == "-" else math.inf
    except ValueError:  # nothing but underscores
        return None


def _rfc3339(parts: re.Match[str]) -> int:
    year, month, day, hour, minute, second = (int(part) for part in parts.groups()[:6])
    fraction, zone = parts.group(7), parts.group(8)
    offset = timedelta()
    if zone != "Z":
        hours, minutes = int(zone[1:3]), int(zone[4:6])
        if hours > 24 or minutes > 59:
            raise ValueError(zone)
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
    moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC) - _EPOCH - offset
    # Nanoseconds beyond the ninth digit and below a millisecond are cut off, as Go does.
    milliseconds = int(Fraction(int(fraction[:9]), 10 ** len(fraction[:9])) * 1000) if fraction else 0
    return (moment.days * 86400 + moment.seconds) * 1000 + milliseconds
