"""Reads back what was written, as raw samples, and compares it bit for bit.

While the senders write, random pages are asked for; at the end every page is. A page is some steps of one target. What
was acknowledged before the question was asked must be in the answer, what was sent before it was answered may be, and
nothing else. An answer may be refused with 503 for a while: that is counted, and so is how long it lasts. It may never
be wrong, and never incomplete without saying so.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from urllib.parse import quote

from headrace.load.alarm import Alarm
from headrace.load.errors import RequestError
from headrace.load.http import Answer, Client
from headrace.load.tally import EXAMPLES, Checks
from headrace.load.traffic import Lane
from shared.native import BadDataError, LoadCheck

PAGE_SAMPLES = 100_000
PAGE_STEPS = 5_000
"""A page is an answer of a few megabytes."""

RETRY_S = 0.25
"""Between two attempts at a page, once nothing is written any more."""

CONSISTENCY = "X-Read-Consistency: strong\r\n"
"""Headrace then fails instead of answering without what was acknowledged last; others do not know it."""


@dataclass(frozen=True, slots=True)
class Page:
    lane: Lane
    first: int
    steps: int

    def path(self, start_ms: int, interval_ms: int) -> str:
        """A range selector at the page's end. Windows are open on the left; no sample lies on either edge."""
        end_ms = start_ms + (self.first + self.steps) * interval_ms - 1
        query = f"{self.lane.selector()}[{self.steps * interval_ms}ms]"
        return f"/api/v1/query?query={quote(query, safe='')}&time={end_ms // 1000}.{end_ms % 1000:03d}"


def pages_of(lane: Lane) -> Iterator[Page]:
    """All that was ever sent of a target."""
    size = _longest(lane)
    for first in range(0, lane.ledger.steps, size):
        yield Page(lane, first, min(size, lane.ledger.steps - first))


class Checker:
    """Asks for pages and compares. `settle_s`: how long a server may take to show what it acknowledged."""

    def __init__(
        self, client: Client, *, start_ms: int, interval_ms: int, checks: Checks, settle_s: float = 0.0
    ) -> None:  # fmt: skip
        self._client = client
        self._start_ms = start_ms
        self._interval_ms = interval_ms
        self._checks = checks
        self._settle_s = settle_s

    def close(self) -> None:
        self._client.close()

    async def check(self, page: Page) -> bool:
        """Whether there was an answer; what it was worth is in the counters."""
        ledger, checks = page.lane.ledger, self._checks
        before = ledger.states(page.first, page.steps)
        if self._settle_s:
            await asyncio.sleep(self._settle_s)
        asked_s = monotonic()
        path = page.path(self._start_ms, self._interval_ms)
        try:
            answer = await self._client.request("GET", path, CONSISTENCY + page.lane.tenant.authorization)
        except RequestError as error:
            return self._unavailable(asked_s, error.kind)
        after = ledger.states(page.first, page.steps)
        if answer.status == 503:
            return self._unavailable(asked_s, f"status 503: {answer.text}")
        if answer.status != 200:
            checks.errors.add(f"status {answer.status}", answer.text)
            return False
        checks.outages.answered(asked_s)
        checks.times.record(monotonic() - asked_s)
        return await self._compare(page, answer, before, after)

    async def _compare(self, page: Page, answer: Answer, before: bytes, after: bytes) -> bool:
        try:
            found = await asyncio.to_thread(
                page.lane.model.check,
                answer.body,
                target=page.lane.target,
                first_step=page.first,
                before=before,
                after=after,
            )
        except BadDataError as error:
            self._checks.errors.add("no result", str(error))
            return False
        self._count(found)
        return True

    def _count(self, found: LoadCheck) -> None:
        checks = self._checks
        checks.answers += 1
        checks.right += found.right
        checks.unsure += found.unsure
        checks.wrong += found.wrong
        checks.doubled += found.doubled
        checks.unexpected += found.unexpected
        if found.warnings:
            checks.warned += 1
            checks.admitted += found.missing
        else:
            checks.missing += found.missing
        checks.examples.extend(found.examples[: EXAMPLES - len(checks.examples)])

    def _unavailable(self, asked_s: float, reason: str) -> bool:
        self._checks.unavailable += 1
        self._checks.outages.failed(asked_s, reason)
        return False


async def check_for_ever(checker: Checker, lanes: Sequence[Lane], alarm: Alarm, *, per_s: float, seed: int) -> None:
    """Random pages, so many a second unless answers take longer; ends when the alarm rings."""
    dice = random.Random(seed)  # noqa: S311
    next_s = monotonic()
    try:
        while not await alarm.sleep_until(next_s):
            next_s = max(monotonic(), next_s + 1 / per_s)
            page = _random_page(dice.choice(lanes), dice)
            if page is not None:
                await checker.check(page)
    finally:
        checker.close()


def _random_page(lane: Lane, dice: random.Random) -> Page | None:
    """Often near the end, where everything happens; None while nothing was sent."""
    sent = lane.ledger.steps
    if sent == 0:
        return None
    steps = dice.randint(1, min(sent, _longest(lane)))
    latest = sent - steps
    first = latest if dice.random() < 0.5 else dice.randint(0, latest)
    return Page(lane, first, steps)


def _longest(lane: Lane) -> int:
    return min(PAGE_STEPS, max(1, PAGE_SAMPLES // lane.samples))


async def check_everything(checkers: Sequence[Checker], lanes: Sequence[Lane], *, patience_s: float) -> bool:
    """Every page, by so many checkers at once, each tried again for so long; whether all of them were answered."""
    pages = (page for lane in lanes for page in pages_of(lane))
    unanswered = 0

    async def work(checker: Checker) -> None:
        nonlocal unanswered
        try:
            for page in pages:
                end_s = monotonic() + patience_s
                while not await checker.check(page):
                    if monotonic() >= end_s:
                        unanswered += 1
                        break
                    await asyncio.sleep(RETRY_S)
        finally:
            checker.close()

    async with asyncio.TaskGroup() as group:
        for checker in checkers:
            group.create_task(work(checker))
    return unanswered == 0
