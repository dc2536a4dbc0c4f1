"""Remote write as its acceptance list has it, standalone and as a cluster alike."""

import time
from collections.abc import Mapping

import pytest

from tests.support import remote_write_v2 as v2
from tests.support.processes import Answer, fetch
from tests.support.remote_write import body as body_v1
from tests.support.served import Served

V1_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def post(server: Served, body: bytes, headers: Mapping[str, str] = v2.HEADERS, method: str = "POST") -> Answer:
    url = server.base + "/api/v1/prom/write"
    return fetch(url, data=body, headers={**server.bearer, **headers}, method=method)


def written(answer: Answer) -> list[int]:
    """Samples, histograms, exemplars; [] where nothing is said."""
    said = {name.lower(): value for name, value in answer.headers.items()}
    names = [f"x-prometheus-remote-write-{what}-written" for what in ("samples", "histograms", "exemplars")]
    return [int(said[name]) for name in names if name in said]


def up(**labels: str) -> v2.Series:
    return v2.Series({"__name__": "up", **labels}, [(now_ms(), 1.0)])


def test_each_request_gets_the_status_of_its_specification(server: Served) -> None:
    good = v2.body([up()])
    odd = v2.message([up()])
    odd.timeseries.add(labels_refs=[1]).samples.add(timestamp=now_ms(), value=1)
    nameless, early = v2.Series({"job": "a"}, [(now_ms(), 1.0)]), v2.Series({"__name__": "up"}, [(now_ms() + 10**7, 1)])
    v1 = [({"__name__": "up"}, [(now_ms(), 1.0)])]
    for name, method, headers, body, status, counts in [
        ("good", "POST", v2.HEADERS, good, 204, [1, 0, 0]),
        (
            "blanks and quotes",
            "POST",
            {**v2.HEADERS, "Content-Type": v2.CONTENT_TYPE.replace(";", " ; ")},
            good,
            204,
            [1, 0, 0],
        ),
        ("empty", "POST", v2.HEADERS, v2.body([]), 204, [0, 0, 0]),
        ("GET", "GET", v2.HEADERS, None, 405, []),
        ("gzip", "POST", {**v2.HEADERS, "Content-Encoding": "gzip"}, good, 415, []),
        ("text", "POST", {**v2.HEADERS, "Content-Type": "text/plain"}, good, 415, []),
        ("unknown", "POST", {**v2.HEADERS, "Content-Type": v2.CONTENT_TYPE + "x"}, good, 415, []),
        ("no snappy", "POST", v2.HEADERS, b"\xff\xff", 400, [0, 0, 0]),
        ("odd references", "POST", v2.HEADERS, v2.compressed(odd), 400, [1, 0, 0]),
        ("no name", "POST", v2.HEADERS, v2.body([up(), nameless]), 400, [1, 0, 0]),
        ("too early", "POST", v2.HEADERS, v2.body([early, up()]), 400, [1, 0, 0]),
        ("nothing in it", "POST", v2.HEADERS, v2.body([up(), v2.Series({"__name__": "x"})]), 400, [1, 0, 0]),
        ("a credential of nobody", "POST", {**v2.HEADERS, "Authorization": "Bearer wrong-wrong"}, good, 401, []),
        ("version 1", "POST", V1_HEADERS, body_v1(v1), 204, []),
        ("version 1, half good", "POST", V1_HEADERS, body_v1([*v1, ({"a": "b"}, [(1, 1.0)])]), 400, []),
        ("version 1, no headers", "POST", {"Content-Type": ""}, body_v1(v1), 204, []),
    ]:
        answer = post(server, body, headers, method)
        assert (name, answer.status, written(answer)) == (name, status, counts), answer.body
    assert len(server.query("up")) == 1


@pytest.mark.parametrize("path", ["/api/v1/prom/write", "/api/v1/write"])
def test_both_paths_take_version_2(server: Served, path: str) -> None:
    answer = fetch(server.base + path, data=v2.body([up(path=path)]), headers={**server.basic, **v2.HEADERS})
    assert (answer.status, written(answer)) == (204, [1, 0, 0])
    assert len(server.query(f'up{{path="{path}"}}')) == 1


def test_a_rate_limit_holds_everywhere_within_seconds(server: Served) -> None:
    assert (
        server.instances("set-limit", server.app_id, "max_samples_per_second=1", "max_burst_samples=2").returncode == 0
    )
    end = time.monotonic() + 30
    while (answer := post(server, v2.body([up(i=str(i)) for i in range(2)]))).status == 204:
        assert time.monotonic() < end
    assert (answer.status, written(answer)) == (429, [0, 0, 0])
    assert int({k.lower(): v for k, v in answer.headers.items()}["retry-after"]) >= 1
    assert "2 samples are" in answer.json()["error"]
    assert "the limit max_samples_per_second is 1, with max_burst_samples 2" in answer.json()["error"]
    end = time.monotonic() + 30
    while not [r for r in server.get("/api/v1/status/rejections").json()["data"] if r["reason"] == "rate_limit"]:
        assert time.monotonic() < end
    assert server.instances("set-limit", server.app_id, "max_samples_per_second=1000000").returncode == 0


def test_what_version_2_wrote_survives_a_kill_and_a_flush(server: Served) -> None:
    at = now_ms()
    labels = {"__name__": "rw_seconds_count", "job": "ä", "zone": "1"}
    series = v2.Series(
        labels,
        [(at - 1000, float("nan")), (at, 0.25)],
        (v2.HISTOGRAM, "How long.", "seconds"),
        [v2.Exemplar({"trace_id": "ä"}, 0.5, at)],
    )
    assert post(server, v2.body([series])).status == 204
    # Half of it refused, so that it lies in the log as version 1.
    exemplar = v2.Exemplar({}, 1.5, at - 500)
    late = [
        v2.Series({**labels, "zone": "2"}, [(at, 1.0)], exemplars=[exemplar]),
        v2.Series({"no": "name"}, [(at, 1.0)]),
    ]
    assert post(server, v2.body(late)).status == 400

    def seen() -> list[object]:
        found = server.query("rw_seconds_count[1m]", time=at / 1000)
        exemplars = server.get("/api/v1/query_exemplars", query="rw_seconds_count").json()["data"]
        return [sorted(found, key=str), server.get("/api/v1/metadata").json()["data"], exemplars]

    before = seen()
    assert before[0] == [
        {"metric": labels, "values": [[(at - 1000) / 1000, "NaN"], [at / 1000, "0.25"]]},
        {"metric": {**labels, "zone": "2"}, "values": [[at / 1000, "1"]]},
    ]
    assert before[1] == {"rw_seconds": [{"type": "histogram", "help": "How long.", "unit": "seconds"}]}
    assert before[2] == [
        {"seriesLabels": labels, "exemplars": [{"labels": {"trace_id": "ä"}, "value": "0.5", "timestamp": at / 1000}]},
        {
            "seriesLabels": {**labels, "zone": "2"},
            "exemplars": [{"labels": {}, "value": "1.5", "timestamp": (at - 500) / 1000}],
        },
    ]
    server.kill()
    server.start()
    server.wait_ready()
    assert seen() == before
    server.flush()
    server.kill()
    server.start()
    server.wait_ready()
    assert seen() == before
