"""What a cluster costs: CPU by process, brokers and Redis apart, memory, bytes.

`python -m tests.bench.cluster [SCENARIO]...` prints a line for each figure, with its aim; without names it runs all.
`BENCH_DIR` and `BENCH_HOME` are as in scripts/bench.sh. Two cores are shared by everything, so only CPU and memory mean
much; latencies are those of a busy machine.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from headrace.load.http import Address, Client
from headrace.load.latency import Latencies
from headrace.load.traffic import Tenant
from tests.bench.ensemble import Ensemble, cpu_between, ensemble, headrace_load, standalone, wait_applied
from tests.bench.usage import anatomy, loopback_bytes, usage
from tests.support.processes import APP_ID, TOKEN, Api

BENCH = Path(os.environ["BENCH_DIR"]).resolve()
HOME = Path(os.environ["BENCH_HOME"])
sys.path.insert(0, str(BENCH))

import dataset  # noqa: E402  from the benchmark's folder
import replay  # noqa: E402

CONNECTIONS = 32  # Prometheus sends over up to 50
HEADRACE = ("distributor", "querier", "ingester")
HOLD = {"HEADRACE_INGESTER__GRACE_S": "86400", "HEADRACE_INGESTER__MEMORY_BYTES": str(64 << 30)}
"""Settings with which nothing is cut unless it is asked for."""


def say(what: str, value: str, aim: str = "") -> None:
    print(f"{what:<64} {value:>14}  {aim}", flush=True)


def millions(samples: float, cpu_s: float) -> str:
    return f"{samples / cpu_s / 1e6:.2f} M/CPU s" if cpu_s else "-"


def data(name: str, **options: int) -> tuple[Path, int]:
    """A file of bodies and how many samples it holds; made if it is not there."""
    path = HOME / f"{name}.rw"
    meta = Path(f"{path}.meta.json")
    if not meta.exists():
        size, seconds, per_body = dataset.SIZES["medium"]
        dataset.generate(str(path), size, options.pop("seconds", seconds), per_body, **options)
    return path, int(json.loads(meta.read_text())["samples"])


def send(path: Path, server: Api, url: str) -> None:
    sent = replay.replay(str(path), f"{url}/api/v1/prom/write", CONNECTIONS, server.bearer)
    assert set(sent["status"]) == {204}, sent["status"]


# ---- writing ----


def path() -> None:
    """From the sender to the heads of both zones and to the store, and the same with standalone."""
    file, samples = data("medium")
    with ensemble() as run:
        distributor = run.cluster.distributors[0]
        before = run.used()
        send(file, run.cluster, distributor.base)
        run.wait_applied()
        applied = run.used()
        run.cluster.flush()
        time.sleep(5)
        settled = run.used()
        stored = run.redis_bytes
    say("distributor, authentication to ack", millions(samples, cpu_between(before, applied, "distributor")), "aim 1")
    for zone in ("ingester-a", "ingester-b"):
        say(f"{zone}, consumption", millions(samples, cpu_between(before, applied, zone)), "aim 2")
        say(f"{zone}, cut and commit", millions(samples, cpu_between(applied, settled, zone)))
    whole = samples / cpu_between(before, settled, *HEADRACE)
    say("whole path, two zones, settled", f"{whole / 1e6:.2f} M/CPU s")
    for name in ("kafka", "redis", "querier"):
        say(f"beside it: {name}", f"{cpu_between(before, settled, name):.1f} CPU s")
    say("Redis, bytes a sample (medium)", f"{stored / samples:.2f} B")
    with standalone() as server:
        assert server.child is not None
        start = usage(server.child.pid).cpu_s
        send(file, server, server.base)
        wait_applied([server.base])
        server.flush()
        time.sleep(5)
        alone = samples / (usage(server.child.pid).cpu_s - start)
    say("standalone, settled", f"{alone / 1e6:.2f} M/CPU s")
    say("whole path against standalone", f"{whole / alone:.2f}", "aim 0.4")


def scaling() -> None:
    """CPU a sample with more processes of a kind, at a rate that each of these clusters can take.

    Every case takes the same samples in the same time, of series that it knows. As fast as it goes would compare
    clusters by how much is left of two cores for what they take whether or not anything is written; and what is waited
    for afterwards is not a part of the samples' cost. Cases take turns, for a machine's speed drifts.
    """
    rate = int(os.environ.get("BENCH_RATE", "500000"))
    cases = ((1, 1), (2, 1), (1, 2), (2, 2))
    turns: dict[tuple[int, int], list[dict[str, float]]] = {case: [] for case in cases}
    for turn in range(_TURNS):
        for case in cases if turn % 2 == 0 else reversed(cases):
            turns[case].append(_cost_of(*case, rate=rate))
    whole = {case: [sum(cost[role] for role in HEADRACE) for cost in costs] for case, costs in turns.items()}
    for distributors, ingesters in cases:
        costs = whole[distributors, ingesters]
        name = f"{distributors} distributors, {ingesters} ingesters a zone"
        say(f"{name}: CPU a sample", f"{median(costs):.2f} us", f"{', '.join(f'{cost:.2f}' for cost in costs)}")
        for role in HEADRACE:
            say(f"  of it {role}s", f"{median(cost[role] for cost in turns[distributors, ingesters]):.2f} us")
    for few, many in (((1, 1), (2, 1)), ((1, 2), (2, 2)), ((1, 1), (1, 2)), ((2, 1), (2, 2))):
        say(f"{many} against {few}", f"x {median(whole[many]) / median(whole[few]):.2f}", "aim 1.1")


def _cost_of(distributors: int, ingesters: int, *, rate: int, seconds: int = 12) -> dict[str, float]:
    """Microseconds of CPU that a sample takes of each role, all its processes together."""
    with ensemble(HOLD, distributors=distributors, ingesters=ingesters) as run:
        begin = _within_a_window()
        _offer(run, rate, seconds=4, begin=begin)
        run.wait_applied()
        before = run.used()
        samples = _offer(run, rate, seconds=seconds, begin=begin + 60)
        time.sleep(_APPLIED_S)
        after = run.used()
    return {role: cpu_between(before, after, role) / samples * 1e6 for role in HEADRACE}


_TURNS = 3
_BATCH = 2000
"""Samples a body: what Prometheus sends at most if nothing is set."""
_APPLIED_S = 1.0
"""Within which the ingesters have applied what was acknowledged at such a rate."""


def _within_a_window() -> int:
    """A time, in seconds, about an hour ago, so that two minutes from it on lie in one window: in the next one series
    are new to a head.
    """
    begin = int(time.time()) - 3600
    return begin if begin % 7200 < 7080 else begin - 120


def _offer(run: Ensemble, rate: int, *, seconds: int, begin: int) -> int:
    """Writes at this rate to all distributors and returns how many samples were acknowledged. Their times begin there,
    in seconds; two offers have the same series.
    """
    report = headrace_load(
        *([role.base for role in run.cluster.distributors], run.cluster.queriers[0].base),
        *("--series", "100000", "--senders", "16", "--rate", str(rate), "--run", "scaling"),
        *("--batch", str(_BATCH)),
        *("--from", str(begin), "--duration", f"{seconds}s", "--drain", "60s"),
    )
    samples: int = report["writes"]["samples"]
    assert samples > 0.9 * rate * seconds, (
        f"{samples:,} samples in {seconds} s: this machine cannot take {rate:,} a second"
    )
    return samples


# ---- memory ----


def memory() -> None:
    """One ingester that holds two hours of 100,000 series, jittered, just before it would cut."""
    end = int(time.time()) // 7200 * 7200
    file, samples = data("medium-2h-jitter", seconds=7200, jitter_ms=3, end=end)
    with ensemble(HOLD, zones=("a",)) as run:
        child = run.cluster.ingesters[0].child
        assert child is not None
        idle, before = usage(child.pid), anatomy(child.pid)
        send(file, run.cluster, run.cluster.distributors[0].base)
        run.wait_applied()
        held, after = usage(child.pid), anatomy(child.pid)
        heads = run.cluster.metric("headrace_head_memory_bytes")
    series = 100_000
    say("ingester, two hours held: heads a series", f"{heads / series:.0f} B")
    say("peak of the process less idle, a series", f"{(held.peak - idle.resident) / series:.0f} B", "aim 1,200")
    say("peak of the process, a series", f"{held.peak / series:.0f} B", f"idle it takes {idle.resident >> 20} MiB")
    say("resident at the end, a series", f"{held.resident / series:.0f} B", f"{samples:,} samples")
    say("consumption meanwhile", millions(samples, held.cpu_s - idle.cpu_s), "aim 2")
    for kind, resident in after.items():
        more = (resident - before[kind]) / series
        say(f"the same by kind: {kind}", f"{resident >> 20} MiB", f"{more:+.0f} B a series since it was idle")


def idle() -> None:
    """A thousand instances that exist and do nothing. There is one before them: whoever makes the first one loads what
    encrypts tokens, 8 MiB.
    """
    count = 1000
    with ensemble() as run:
        _make_instance(run, "first")
        before = run.used()
        for number in range(count):
            _make_instance(run, f"idle-{number}")
        time.sleep(15)
        after = run.used()
    for name in before:
        if name.startswith(HEADRACE):
            say(f"idle instance, {name}", f"{(after[name].resident - before[name].resident) / count / 1024:.1f} KiB")


def _make_instance(run: Ensemble, app_id: str) -> None:
    answer = run.cluster.administer("POST", "/instances", {"app_id": app_id})
    assert answer.status == 200, answer.body


def recording() -> None:
    """What the recording takes in Redis."""
    file = HOME / "real.rw"
    samples = int(json.loads(Path(f"{file}.meta.json").read_text())["samples"])
    with ensemble() as run:
        empty = run.redis_bytes
        send(file, run.cluster, run.cluster.distributors[0].base)
        run.cluster.flush()
        say("Redis, bytes a sample (recording)", f"{(run.redis_bytes - empty) / samples:.2f} B", "aim 0.6")


# ---- reading ----


def fresh() -> None:
    """What waiting for one's own writes adds to a query while half of what the machine can take is written."""
    rate = os.environ.get("BENCH_RATE", "100000")
    with ensemble() as run:
        writes, reads = [run.cluster.distributors[0].base], run.cluster.queriers[0].base
        options = ("--series", "50000", "--rate", rate, "--duration", "40s")
        writer = threading.Thread(target=headrace_load, args=(writes, reads, *options))
        writer.start()
        time.sleep(8)
        waiting, eventual = asyncio.run(_both(reads, seconds=25))
        writer.join()
    extra = (waiting.percentile_s(99) - eventual.percentile_s(99)) * 1000
    for name, times in (("default", waiting), ("eventual", eventual)):
        p50, p99 = times.percentile_s(50) * 1000, times.percentile_s(99) * 1000
        say(f"query while {rate} samples/s are written, {name}", f"{p50:.1f} / {p99:.1f} ms", "p50 / p99")
    say("read your writes, p99 more", f"{extra:.1f} ms", "aim 20")


async def _both(base: str, *, seconds: float) -> tuple[Latencies, Latencies]:
    """Times of one query with and without the wait, in turn."""
    client = Client([Address.parse(base)])
    query = "/api/v1/query?query=load_memory_bytes%7Bnode%3D%22node-00000%22%2Carea%3D%22area-0%22%7D"
    headers = Tenant(APP_ID, TOKEN).authorization
    waiting, eventual = Latencies(), Latencies()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for times, more in ((waiting, ""), (eventual, "X-Read-Consistency: eventual\r\n")):
            begun = time.monotonic()
            answer = await client.request("GET", query, headers + more)
            assert answer.status == 200, answer.text
            times.record(time.monotonic() - begun)
            await asyncio.sleep(0.02)
    client.close()
    return waiting, eventual


def pushdown() -> None:
    """A group-by over 100,000 series in four ingesters: evaluated there, and evaluated in the querier."""
    with ensemble(HOLD, zones=("a",), ingesters=4) as run:
        # Four of ten series are counters of that name.
        headrace_load(
            *([run.cluster.distributors[0].base], run.cluster.queriers[0].base, "--series", "250000"),
            *("--histograms", "0", "--from", "6m", "--speed", "20", "--duration", "30s", "--drain", "120s"),
        )
        run.wait_applied()
        expression = "sum by (job) (rate(load_requests_total[5m]))"
        with_it, without = _asked(run, expression, "1"), _asked(run, expression, "0")
        sent = f"{without[0] / 1e6:.2f} without"
        say("group-by over 100,000 series, bytes on loopback", f"{with_it[0] / 1e6:.2f} MB", sent)
        say("the same, CPU of all processes", f"{with_it[1] * 1000:.0f} ms", f"{without[1] * 1000:.0f} without")
        say("with push-down against without", f"{with_it[1] / without[1]:.2f}", "aim 0.5")


def _asked(run: Ensemble, expression: str, pushdown: str, *, times: int = 10) -> tuple[float, float]:
    """Bytes on loopback and CPU seconds of one query, each the median of some, less what passes anyway in that time."""
    costs = []
    for _ in range(times):
        sent, used, begun = loopback_bytes(), run.used(), time.monotonic()
        answer = run.cluster.get("/api/v1/query", query=expression, pushdown=pushdown, nocache="1")
        took = time.monotonic() - begun
        assert answer.status == 200, answer.body
        assert len(answer.json()["data"]["result"]) == 10
        costs.append((loopback_bytes() - sent, cpu_between(used, run.used(), *HEADRACE), took))
    still, quiet, begun = loopback_bytes(), run.used(), time.monotonic()
    time.sleep(5)
    passed = time.monotonic() - begun
    bytes_s, cpu_share = (loopback_bytes() - still) / passed, cpu_between(quiet, run.used(), *HEADRACE) / passed
    return (
        median(size - bytes_s * took for size, _, took in costs),
        sum(cpu - cpu_share * took for _, cpu, took in costs) / times,
    )


SCENARIOS: dict[str, Callable[[], None]] = {
    scenario.__name__: scenario for scenario in (path, scaling, memory, idle, recording, fresh, pushdown)
}


def main() -> None:
    for name in sys.argv[1:] or SCENARIOS:
        what = SCENARIOS[name].__doc__ or ""
        print(f"== {name}: {what.partition(chr(10))[0]}", flush=True)
        SCENARIOS[name]()


if __name__ == "__main__":
    main()
