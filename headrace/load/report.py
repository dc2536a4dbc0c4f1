"""What came out of a run: as JSON for programs, as text for people, and as a line a second while it lasts."""

from dataclasses import dataclass
from time import monotonic
from typing import Any, TextIO

from headrace.load.alarm import Alarm
from headrace.load.latency import Latencies
from headrace.load.run import Load, Verified
from headrace.load.tally import Checks, Errors


def report(load: Load, verified: Verified | None) -> dict[str, Any]:
    """Times in milliseconds where the name says so, else in seconds; rates over the whole run, its drain included."""
    writes, seconds, now_s = load.writes, load.seconds, monotonic()
    return {
        "seconds": round(seconds, 3),
        "instances": len(load.tenants),
        "series": sum(lane.samples for lane in load.lanes),
        "start_ms": load.start_ms,
        "writes": {
            "samples": writes.samples,
            "samples_per_s": round(writes.samples / seconds, 1) if seconds else 0.0,
            "samples_per_s_wanted": round(load.samples_per_s, 1),
            "requests": writes.requests,
            "requests_per_s": round(writes.requests / seconds, 1) if seconds else 0.0,
            "repeats": writes.repeats,
            "bytes": writes.bytes_sent,
            "retries": writes.retries,
            "refused": writes.refused,
            "given_up": writes.given_up,
            "failures": writes.failures.summary(),
            "unavailable": writes.unavailable.summary(now_s),
            "since_due": writes.since_due.summary(),
            "service": writes.service.summary(),
        },
        "queries": {
            "answers": load.asked.answers,
            "errors": load.asked.errors.summary(),
            "outages": load.asked.outages.summary(now_s),
            "since_due": {name or "all": times.summary() for name, times in sorted(load.asked.since_due.items())},
        },
        "checks": load.checks.summary(now_s),
        "verify": None
        if verified is None
        else {
            "passed": verified.passed,
            "complete": verified.complete,
            "samples_acknowledged": verified.acknowledged,
            "seconds": round(verified.seconds, 3),
            **verified.checks.summary(now_s),
        },
    }


def failures(load: Load, verified: Verified | None) -> int:
    """Bodies that were not stored, queries without a result, and answers that were no result."""
    errors = load.writes.lost + load.asked.errors.total + load.checks.errors.total
    return errors + (0 if verified is None else verified.checks.errors.total)


def text(load: Load, verified: Verified | None) -> str:
    writes, seconds = load.writes, load.seconds
    rate = writes.samples / seconds if seconds else 0.0
    lines = [
        f"{writes.samples:,} samples acknowledged in {seconds:.1f} s: "
        f"{rate:,.0f} a second, {load.samples_per_s:,.0f} wanted",
        f"  bodies       {writes.requests:,} acknowledged, {writes.repeats:,} of them repeats; "
        f"{writes.retries:,} retries, {writes.refused:,} refused, {writes.given_up:,} given up",
        f"  since due    {_times(writes.since_due)}",
        f"  service      {_times(writes.service)}",
        *_errors(writes.failures),
    ]
    if load.asked.since_due or load.asked.errors.total:
        lines.append(f"{load.asked.answers:,} queries answered, {load.asked.errors.total:,} not")
        lines += [f"  {name or 'all':<20} {_times(times)}" for name, times in sorted(load.asked.since_due.items())]
        lines += _errors(load.asked.errors)
    if load.checks.answers or load.checks.unavailable:
        lines += ["checked while writing:", *_checks(load.checks)]
    if verified is not None:
        lines += [f"verified in {verified.seconds:.1f} s: {_verdict(verified)}", *_checks(verified.checks)]
    return "\n".join(lines)


def _verdict(verified: Verified) -> str:
    checks = verified.checks
    if verified.passed:
        return f"all {checks.right:,} acknowledged samples are there once, bit for bit"
    if not verified.complete:
        return "FAILED: not everything could be read"
    return f"FAILED: {checks.right:,} of {verified.acknowledged:,} acknowledged samples are right"


def _checks(checks: Checks) -> list[str]:
    now_s = monotonic()
    lines = [
        f"  samples      {checks.right:,} right, {checks.unsure:,} of unknown outcome, {checks.missing:,} missing, "
        f"{checks.wrong:,} wrong, {checks.doubled:,} doubled, {checks.unexpected:,} unexpected",
    ]
    if checks.warned:
        lines.append(f"  warnings     {checks.warned:,} answers, which said that they miss {checks.admitted:,} samples")
    if checks.unavailable:
        longest_s = checks.outages.longest_s(now_s)
        lines.append(f"  unavailable  {checks.unavailable:,} questions, {longest_s:.1f} s at the longest")
    return lines + _errors(checks.errors) + [f"  {example}" for example in checks.examples]


def _times(times: Latencies) -> str:
    summary = times.summary()
    return "  ".join(
        f"{name.removesuffix('_ms')} {value:,.1f} ms" for name, value in summary.items() if name != "count"
    )


def _errors(errors: Errors) -> list[str]:
    return [f"  {count:,} times {kind}: {errors.first[kind]}" for kind, count in errors.counts.most_common()]


@dataclass(slots=True)
class Progress:
    """Tells a run's state as it goes: in place on a terminal, elsewhere in lines, `every_s` apart."""

    load: Load
    out: TextIO
    every_s: float

    async def run(self, alarm: Alarm) -> None:
        in_place = self.out.isatty()
        every_s = min(1.0, self.every_s) if in_place else self.every_s
        samples, then_s = 0, monotonic()
        while not await alarm.sleep_until(then_s + every_s):
            now_s = monotonic()
            rate = (self.load.writes.samples - samples) / (now_s - then_s)
            samples, then_s = self.load.writes.samples, now_s
            self._say(self._line(rate), in_place=in_place)
        if in_place:
            self.out.write("\n")
            self.out.flush()

    def _line(self, rate: float) -> str:
        load = self.load
        writes = load.writes
        p99_ms = writes.since_due.percentile_s(99) * 1000
        parts = [
            f"{load.seconds:6.0f} s",
            f"{rate:,.0f} samples/s",
            f"lag {load.lag_s:.1f} s",
            f"p99 {p99_ms:,.0f} ms",
            f"retries {writes.retries:,}",
        ]
        if writes.lost:
            parts.append(f"LOST {writes.lost:,}")
        if load.asked.since_due:
            parts.append(
                f"queries {load.asked.answers:,}, p99 {load.asked.since_due[''].percentile_s(99) * 1000:,.0f} ms"
            )
        if load.reading.checks_per_s:
            parts.append(
                f"checks {load.checks.answers:,}" + (f" FAILED {load.checks.failed:,}" if load.checks.failed else "")
            )
            parts += [f"unavailable {load.checks.unavailable:,}"] if load.checks.unavailable else []
        return "  ".join(parts)

    def _say(self, line: str, *, in_place: bool) -> None:
        self.out.write(f"\r\x1b[K{line}" if in_place else f"{line}\n")
        self.out.flush()
