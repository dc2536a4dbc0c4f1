"""What remote write 2.0 costs beside 1.0: the same samples in both, nanoseconds of CPU each, of the split alone and of
a server from the request until a query sees its samples.

`python -m tests.bench.remote_write FILE`: FILE holds recorded bodies as repeated [u32 length][snappy body]. As a sender
of 2.0 does, each series of it says type and help of its metric, where that is said.
"""

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from shared.native import Splitter, WriteLimits
from tests.bench.kafka_log import bodies
from tests.bench.usage import usage
from tests.support import remote_write_v2 as v2
from tests.support.keepalive import Asker
from tests.support.processes import Headrace
from tests.support.remote_write import read_body

UID = bytes(range(16))
BODIES = 400
ROUNDS = 7
SENT_BODIES, SENT_IN_TURN, SENT_ROUNDS = 2400, 20, 5
V1_HEADERS = v2.HEADERS | {
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
LIMITS = WriteLimits(max_future_ms=None)


def in_version_2(body: bytes, *, described: bool) -> bytes:
    metadata = (v2.GAUGE, "What a help text says of its metric, in a sentence.", "") if described else None
    return v2.body(v2.Series(labels, samples, metadata) for labels, samples in read_body(body))


def split_all(splitter: Splitter, requests: list[bytes], version: int) -> tuple[float, int]:
    """CPU seconds, samples."""
    began = time.process_time()
    samples = 0
    for body in requests:
        batch = splitter.split(body, uid=UID, shards=4, limits=LIMITS, now_ms=0, version=version)
        samples += batch.samples
    return time.process_time() - began, samples


def send_in_turns(forms: dict[str, tuple[int, list[bytes]]]) -> dict[str, float]:
    """CPU seconds of a new server for each form that is sent its bodies one after the other, until it has applied them.

    All servers run beside each other and are sent a few bodies in turn: a machine's speed drifts by more than they
    differ.
    """
    with ExitStack() as stack:
        servers = {name: _Sent(stack, version) for name, (version, _) in forms.items()}
        for start in range(0, SENT_BODIES, SENT_IN_TURN):
            for name, (_, requests) in forms.items():
                servers[name].send(requests[start : start + SENT_IN_TURN])
        return {name: server.finish() for name, server in servers.items()}


class _Sent:
    """A server and what it is sent."""

    def __init__(self, stack: ExitStack, version: int) -> None:
        server = Headrace(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(server.kill)
        server.start()
        server.wait_ready()
        assert server.child is not None
        self._pid = server.child.pid
        self._asker = stack.enter_context(Asker(server.base, server.bearer))
        self._headers = v2.HEADERS if version == 2 else V1_HEADERS
        self._began = usage(self._pid).cpu_s

    def send(self, requests: list[bytes]) -> None:
        for body in requests:
            status, answer = self._asker.post("/api/v1/prom/write", body, self._headers)
            assert status == 204, answer

    def finish(self) -> float:
        query, strong = {"query": "vector(1)"}, {"X-Read-Consistency": "strong"}
        status, answer = self._asker.post("/api/v1/query", query, strong)
        assert status == 200, answer
        return usage(self._pid).cpu_s - self._began


def main() -> None:
    recorded = [body for body in bodies(Path(sys.argv[1])) if read_body(body)][:SENT_BODIES]
    forms = {
        "1.0": (1, recorded),
        "2.0": (2, [in_version_2(body, described=False) for body in recorded]),
        "2.0 with metadata": (2, [in_version_2(body, described=True) for body in recorded]),
    }
    splitter = Splitter(secret=b"bench", partitions=4)
    best: dict[str, tuple[float, int]] = {}
    for _ in range(ROUNDS):
        for name, (version, requests) in forms.items():
            best[name] = min(best.get(name, (float("inf"), 0)), split_all(splitter, requests[:BODIES], version))
    for name, (seconds, samples) in best.items():
        size = sum(map(len, forms[name][1][:BODIES])) / samples
        print(f"split of {name}: {seconds / samples * 1e9:.0f} ns a sample, {size:.1f} bytes, {samples} samples")
    samples = sum(len(rows) for body in recorded for _, rows in read_body(body))
    sent: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(SENT_ROUNDS):
        for name, cpu_s in send_in_turns(forms).items():
            sent[name].append(cpu_s / samples * 1e9)
    for name, figures in sent.items():
        print(f"server, {name}: {', '.join(f'{ns:.0f}' for ns in figures)} ns a sample, {samples} samples")


if __name__ == "__main__":
    main()
