"""What a scraper of pushed groups is answered with."""

import pytest

from querier.api.pushed import PROTOBUF, TEXT, negotiated

DELIMITED = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", TEXT),
        (f"{DELIMITED};q=0.6,text/plain;q=0.5", PROTOBUF),
        (f"text/plain;q=0.5, {DELIMITED.upper()};Q=0.6", PROTOBUF),
        (f"{DELIMITED};q=0.4,text/plain;q=0.5", TEXT),
        (f"{DELIMITED};q=0", TEXT),
        (f"{DELIMITED};q=much", TEXT),
        (DELIMITED.replace("delimited", "text"), TEXT),
        ("application/vnd.google.protobuf", TEXT),
        (";;,=,;q", TEXT),
    ],
)
def test_the_best_liked_of_the_two_forms(accept: str | None, expected: bytes) -> None:
    assert negotiated(None if accept is None else accept.encode()) is expected
