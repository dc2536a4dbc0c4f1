"""Floats as Go's strconv prints them: the shortest digits that read back as the same value."""

import math
from decimal import Decimal


def format_plain(value: float) -> str:
    """Never an exponent: literals, and labels made of values (`'f', -1`)."""
    if not math.isfinite(value):
        return _special(value)
    return format(Decimal(repr(value)).normalize(), "f")


def format_general(value: float) -> str:
    """`%g`: an exponent below 1e-4 and from 1e6 on. Messages and fill values."""
    if not math.isfinite(value):
        return _special(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    power = len(digits) + int(exponent) - 1
    if value == 0 or -4 <= power < 6:
        return format_plain(value)
    mantissa = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{power:+03d}"


def openmetrics_float(value: float) -> str:
    """As OpenMetrics writes floats: whole numbers with `.0`."""
    text = format_general(value)
    return text if not math.isfinite(value) or set(text) & set(".e") else f"{text}.0"


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
