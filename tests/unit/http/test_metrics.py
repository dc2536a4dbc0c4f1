"""Our own metrics: the text format, and the page that lists them."""

from pathlib import Path

from shared.telemetry.catalogue import Catalogue
from shared.telemetry.metrics import Counter, Histogram, Observed, render

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"


def test_counters_gauges_and_histograms_in_the_text_format() -> None:
    requests = Counter("r_total", "Requests\nanswered.", ("code",))
    requests.labels("200").inc()
    requests.labels("200").inc(2)
    requests.labels('4"\\').inc()
    plain = Counter("p_total", "Plain.")
    plain.inc(0.5)
    seconds = Histogram("s_seconds", "Seconds.", bounds=(0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        seconds.observe(value)
    held = Observed("h_bytes", "Held.", ("partition",))
    held.observe(lambda: {("0",): 3.0, ("1",): float("inf")})
    assert render([requests, plain, seconds, held]).decode().splitlines() == [
        "# HELP r_total Requests\\nanswered.",
        "# TYPE r_total counter",
        'r_total{code="200"} 3',
        'r_total{code="4\\"\\\\"} 1',
        "# HELP p_total Plain.",
        "# TYPE p_total counter",
        "p_total 0.5",
        "# HELP s_seconds Seconds.",
        "# TYPE s_seconds histogram",
        's_seconds_bucket{le="0.1"} 2',
        's_seconds_bucket{le="1"} 3',
        's_seconds_bucket{le="+Inf"} 4',
        "s_seconds_sum 7.65",
        "s_seconds_count 4",
        "# HELP h_bytes Held.",
        "# TYPE h_bytes gauge",
        'h_bytes{partition="0"} 3',
        'h_bytes{partition="1"} +Inf',
    ]


def test_every_metric_is_documented_as_it_is_declared_and_no_other_is() -> None:
    rows = [[cell.strip() for cell in line.split("|")] for line in DOCUMENT.read_text().splitlines()]
    documented = [tuple(row[1:5]) for row in rows if len(row) == 6 and row[1].startswith("`")]
    declared = [
        (f"`{family.name}`", family.kind, ", ".join(f"`{label}`" for label in family.label_names), family.help)
        for family in Catalogue().families()
    ]
    assert documented == declared


def test_metrics_follow_the_conventions() -> None:
    for family in Catalogue().families():
        assert family.help.endswith(".")
        assert family.name.startswith(("headrace_", "process_"))
        assert (family.kind == "counter") == family.name.endswith("_total"), family.name
