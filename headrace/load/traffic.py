"""What is written, and when each piece of it is due."""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from headrace.load.errors import LoadError
from headrace.load.ledger import Ledger
from shared.native import BadDataError, LoadModel


@dataclass(frozen=True, slots=True)
class Tenant:
    """An instance to write for. Without a token nothing is said about who asks, as other servers want it."""

    app_id: str = ""
    token: str | None = field(default=None, repr=False)

    @property
    def authorization(self) -> str:
        """A header line, or nothing."""
        if self.token is None:
            return ""
        if not self.app_id:
            return f"Authorization: Bearer {self.token}\r\n"
        pair = base64.b64encode(f"{self.app_id}:{self.token}".encode()).decode()
        return f"Authorization: Basic {pair}\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Of one instance; each instance gets values of its own under the same names.

    Shares are between 0 and 1; `churn` and `restarts` are shares of the targets in an hour.
    """

    series: int = 10_000
    interval_s: float = 15.0
    batch: int = 500
    jitter_ms: int = 0
    churn: float = 0.0
    restarts: float = 0.05
    histograms: float = 0.3
    late: float = 0.0
    twice: float = 0.0
    altered: float = 0.0
    seed: int = 1
    run: str = ""

    @property
    def interval_ms(self) -> int:
        return round(self.interval_s * 1000)

    def model(self, tenant: Tenant, start_ms: int) -> LoadModel:
        """LoadError if there cannot be such traffic."""
        try:
            return LoadModel(
                seed=(self.seed << 32) ^ zlib.crc32(tenant.app_id.encode()),
                run=self.run or f"{self.seed}-{start_ms:x}",
                series=self.series,
                batch=self.batch,
                start_ms=start_ms,
                interval_ms=self.interval_ms,
                jitter_ms=self.jitter_ms,
                lifetime=self._steps(self.churn),
                uptime=self._steps(self.restarts),
                histograms=self.histograms,
                late=self.late,
                twice=self.twice,
                altered=self.altered,
            )
        except (BadDataError, OverflowError) as error:
            raise LoadError(f"there is no such traffic: {error}") from None

    def _steps(self, share_per_hour: float) -> int:
        """How often something happens to a target if it happens to this share of them in an hour; 0: never."""
        if share_per_hour < 0 or self.interval_s <= 0:
            raise LoadError("an interval is more than 0, and a share per hour is not less")
        return max(1, round(3600 / share_per_hour / self.interval_s)) if share_per_hour else 0


@dataclass(frozen=True, slots=True)
class Pace:
    """The time of the data as a function of the time on the wall: `speed` times as fast until it has caught up."""

    start_ms: int
    begun_ms: int
    begun_s: float
    speed: float = 1.0

    def due_s(self, data_ms: int) -> float:
        """When data of that time is to be sent, on the loop's clock: never before its time has come."""
        wall_ms = max(self.begun_ms + (data_ms - self.start_ms) / self.speed, float(data_ms))
        return self.begun_s + (wall_ms - self.begun_ms) / 1000

    def data_ms(self, now_s: float) -> int:
        """The newest data that is due by now."""
        passed_ms = (now_s - self.begun_s) * 1000
        return int(min(self.start_ms + passed_ms * self.speed, self.begun_ms + passed_ms))


@dataclass(frozen=True, slots=True)
class Lane:
    """One target of one instance, and what became of its bodies."""

    tenant: Tenant
    model: LoadModel
    target: int
    samples: int
    offset_ms: int
    ledger: Ledger = field(default_factory=Ledger)

    def due_s(self, pace: Pace, interval_ms: int, step: int) -> float:
        return pace.due_s(pace.start_ms + step * interval_ms + self.offset_ms)

    def selector(self) -> str:
        """All series that the target ever has, and no others."""
        matchers = ",".join(f'{name}="{value}"' for name, value in self.model.matchers(self.target))
        return f"{{{matchers}}}"


def lanes_of(tenants: Sequence[Tenant], traffic: Traffic, start_ms: int) -> list[Lane]:
    lanes = []
    for tenant in tenants:
        model = traffic.model(tenant, start_ms)
        for target in range(model.targets):
            # A scrape may be late by the jitter, and is sent when it is over.
            offset_ms = model.phase_ms(target) + traffic.jitter_ms
            lanes.append(Lane(tenant, model, target, model.samples(target), offset_ms))
    return lanes
