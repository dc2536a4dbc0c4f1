"""How fast a killed server is back, and what an idle one costs.

`python -m tests.bench.recovery` sends `medium` (24 million samples), kills the server unflushed, starts it again and
divides the samples by the CPU seconds from exec to /ready; then it measures an idle server for 30 s.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.support.processes import Headrace

BENCH = Path(os.environ["BENCH_DIR"]).resolve()
HOME = Path(os.environ["BENCH_HOME"])
sys.path.insert(0, str(BENCH))

import dataset  # noqa: E402  from the benchmark's folder
import proc  # noqa: E402
import replay  # noqa: E402


def cpu_seconds(pid: int) -> float:
    return float(sum(proc.usage([pid]).fine.values())) / 1e9


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "medium"
    path = HOME / f"{name}.rw"
    if not Path(f"{path}.meta.json").exists():
        dataset.generate(str(path), *dataset.SIZES[name])
    samples = json.loads(Path(f"{path}.meta.json").read_text())["samples"]
    with tempfile.TemporaryDirectory() as folder:
        server = Headrace(Path(folder))
        try:
            server.start()
            server.wait_ready()
            sent = replay.replay(str(path), server.base + "/api/v1/prom/write", 4, server.bearer)
            assert set(sent["status"]) == {204}, sent
            server.kill()
            server.start()
            server.wait_ready(timeout=300)
            assert server.child is not None
            cpu, peak = cpu_seconds(server.child.pid), proc.usage([server.child.pid]).peak
            rate = samples / cpu / 1e6
            print(f"recovery: {samples:,} samples, {cpu:.2f} CPU s, {rate:.2f} million a CPU s, peak {peak >> 20} MiB")
            server.flush()
            time.sleep(5)
            before = cpu_seconds(server.child.pid)
            time.sleep(30)
            print(f"idle: {(cpu_seconds(server.child.pid) - before) / 30:.2%} of a core")
        finally:
            server.kill()


if __name__ == "__main__":
    main()
