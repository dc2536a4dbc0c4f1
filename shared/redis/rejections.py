"""What the distributors of a cluster refused lately, on Redis."""

from collections.abc import Mapping

from shared.errors import InternalError
from shared.redis import scripts
from shared.redis.client import Client, Command
from shared.redis.keys import rejections_key
from shared.seams.rejections import Reasons, Rejection

KEPT_MS = 24 * 3600 * 1000
"""From the last refusal of an instance on."""

_EXAMPLE_CHARS = 1000
_CALLS = 64  # in one pipeline


class RedisRejections:
    """`shared.seams.rejections.RejectionBoard`. The client is the caller's to close."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def add(self, refused: Mapping[bytes, Reasons]) -> None:
        commands = [self._added(uid, reasons) for uid, reasons in refused.items() if reasons]
        for first in range(0, len(commands), _CALLS):
            await self._client.pipeline(commands[first : first + _CALLS], repeat=False)

    async def of(self, uid: bytes) -> dict[str, Rejection]:
        key = rejections_key(uid)
        found = await self._client.call(Command.of("HGETALL", key))
        fields = {name.decode(errors="replace"): value for name, value in zip(found[::2], found[1::2], strict=True)}
        reasons = [name.removeprefix("samples ") for name in fields if name.startswith("samples ")]
        try:
            return {
                reason: Rejection(
                    int(fields[f"samples {reason}"]),
                    int(fields[f"last {reason}"]),
                    fields[f"example {reason}"].decode(errors="replace"),
                )
                for reason in reasons
            }
        except (KeyError, ValueError) as error:
            raise InternalError(f"{key} of the store holds no rejections: {error!r}") from error

    @staticmethod
    def _added(uid: bytes, reasons: Reasons) -> Command:
        values = [
            value
            for reason, rejection in reasons.items()
            for value in (reason, rejection.samples, rejection.last_ms, rejection.example[:_EXAMPLE_CHARS])
        ]
        return Command.running(scripts.ADD_REJECTIONS, [rejections_key(uid)], [KEPT_MS, *values])
