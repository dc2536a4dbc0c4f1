"""Times and lengths of time as people write them."""

from datetime import UTC, datetime

from headrace.query.errors import QueryError
from shared.durations import parse_duration_ms


def seconds_of(text: str) -> float:
    """A length: `15s`, `1h30m`, or seconds."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parse_duration_ms(text) / 1000
        except ValueError:
            seconds = -1
    if not 0 < seconds < float("inf"):
        raise QueryError(f"{text!r} is no length of time: write 15s, 1h30m or seconds")
    return seconds


def moment_of(text: str, now_s: float) -> float:
    """Seconds since the epoch, from `now`, a time ago like `2h` or `now-2h`, RFC 3339, or such seconds."""
    if text == "now":
        return now_s
    ago = text.removeprefix("now").removeprefix("-") if text.startswith(("now-", "-")) else text
    try:
        if ago:
            return now_s - parse_duration_ms(ago) / 1000
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise QueryError(
            f"{text!r} is no time: write now, 2h (ago), 2026-01-31T12:00:00Z or seconds since the epoch"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def shown(moment_s: float) -> str:
    """In UTC, without a date that says nothing."""
    try:
        moment = datetime.fromtimestamp(moment_s, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{moment_s:.0f}"
    return moment.strftime("%Y-%m-%d %H:%M:%S")
