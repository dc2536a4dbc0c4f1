"""Calls to Redis: to the right node, in time, repeated where that is harmless."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

from redis.exceptions import AskError, AuthenticationError, MovedError, NoScriptError, ResponseError

from shared.errors import UnavailableError
from shared.redis.failures import LOST, REDIRECTED, is_not_done, translated
from shared.redis.node import Argument, Node, NotSentError, Reply
from shared.redis.settings import RedisSettings
from shared.redis.topology import Topology

_FIRST_PAUSE_S = 0.01
_LAST_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, sent by its SHA-1 and in full only to a node that has not got it."""

    text: str = field(repr=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class Command:
    """`key` decides where it goes. All keys of one command share its slot."""

    key: str
    args: tuple[Argument, ...]
    script: Script | None = None

    @classmethod
    def of(cls, name: str, key: str, *args: Argument) -> "Command":
        """A command whose first argument is its key."""
        return cls(key, (name, key, *args))

    @classmethod
    def running(cls, script: Script, keys: Sequence[str], args: Sequence[Argument] = ()) -> "Command":
        return cls(keys[0], ("EVALSHA", script.sha, len(keys), *keys, *args), script)

    @property
    def in_full(self) -> tuple[Argument, ...]:
        return self.args if self.script is None else ("EVAL", self.script.text, *self.args[2:])


class Client:
    """Shared by store, registry and membership of a process. Belongs to one event loop."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._topology = Topology(settings)
        self.commands = 0
        """Sent so far, repetitions included."""

    async def call(self, command: Command, *, repeat: bool = True) -> Reply:
        """See `pipeline`."""
        [reply] = await self.pipeline([command], repeat=repeat)
        return reply

    async def pipeline(self, commands: Sequence[Command], *, repeat: bool = True) -> list[Reply]:
        """The replies in order. One batch goes to each node, all at the same time.

        Repeated until the deadline while Redis cannot be reached or answers "not now"; with `repeat=False` only while
        it is certain that nothing was done. UnavailableError: it did not help, or the time is over, and what was sent
        may have been done. InternalError: Redis refuses the command.
        """
        replies: list[Reply] = [None] * len(commands)
        waiting = list(range(len(commands)))
        last: tuple[Exception, str] | None = None
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                for pause_s in _pauses():
                    version = self._topology.version
                    outcomes = await self._try([commands[number] for number in waiting])
                    failed = []
                    for number, (reply, address) in zip(waiting, outcomes, strict=True):
                        if not isinstance(reply, Exception):
                            replies[number] = reply
                        elif _may_repeat(reply, lost_too=repeat):
                            failed.append(number)
                            last = (reply, address)
                        else:
                            raise translated(_cause(reply), address) from reply
                    if not failed:
                        return replies
                    waiting = failed
                    await asyncio.sleep(pause_s)
                    with contextlib.suppress(UnavailableError):  # then what is known is tried again
                        await self._topology.learn(version)
        except TimeoutError:
            reason = "" if last is None else f": {translated(_cause(last[0]), last[1])}"
            raise UnavailableError(
                f"Redis at {self._settings.url} did not answer within {self._settings.timeout_s:g} s{reason}"
            ) from None
        raise AssertionError("pauses never end")

    async def on_every_leader(self, *args: Argument) -> dict[str, Reply]:
        """Address → reply, or the ResponseError that a node answered."""
        replies = {}
        async with self._deadline():
            for node in await self._topology.leaders():
                [replies[node.address]] = await self._on(node, [args])
        for address, reply in replies.items():
            if isinstance(reply, Exception) and not isinstance(reply, ResponseError):
                raise translated(_cause(reply), address) from reply
        return replies

    async def scan(self, pattern: str, *, count: int = 1000) -> AsyncIterator[list[bytes]]:
        """The names of all keys like `pattern`, in pieces; one that comes or goes meanwhile may be left out or come
        twice. For checks: it looks at every key there is.
        """
        for node in await self._topology.leaders():
            cursor = b"0"
            while True:
                async with self._deadline():
                    [reply] = await self._on(node, [("SCAN", cursor, "MATCH", pattern, "COUNT", count)])
                if isinstance(reply, Exception):
                    raise translated(_cause(reply), node.address) from reply
                cursor, names = reply
                yield names
                if cursor == b"0":
                    break

    async def close(self) -> None:
        await self._topology.close()

    @contextlib.asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                yield
        except TimeoutError:
            raise UnavailableError(
                f"Redis at {self._settings.url} did not answer within {self._settings.timeout_s:g} s"
            ) from None

    async def _try(self, commands: Sequence[Command]) -> list[tuple[Reply, str]]:
        """(reply or exception, address of the node) for each."""
        try:
            nodes = [await self._topology.node_of(command.key) for command in commands]
        except UnavailableError as error:
            return [(NotSentError(error), self._settings.url)] * len(commands)
        batches: dict[Node, list[int]] = {}
        for number, node in enumerate(nodes):
            batches.setdefault(node, []).append(number)
        replies: list[Reply] = [None] * len(commands)

        async def run(node: Node, numbers: list[int]) -> None:
            batch = [commands[number].args for number in numbers]
            for number, reply in zip(numbers, await self._on(node, batch), strict=True):
                replies[number] = reply

        if len(batches) == 1:
            [(node, numbers)] = batches.items()
            await run(node, numbers)
        else:
            async with asyncio.TaskGroup() as tasks:
                for node, numbers in batches.items():
                    tasks.create_task(run(node, numbers))
        for number, reply in enumerate(replies):
            if isinstance(reply, NoScriptError):
                [replies[number]] = await self._on(nodes[number], [commands[number].in_full])
            elif isinstance(reply, AskError) and not isinstance(reply, MovedError):
                taker = self._topology.node_at(reply.host, reply.port)
                _, replies[number] = await self._on(taker, [("ASKING",), commands[number].in_full])
        return [(reply, node.address) for reply, node in zip(replies, nodes, strict=True)]

    async def _on(self, node: Node, batch: Sequence[Sequence[Argument]]) -> list[Reply]:
        self.commands += len(batch)
        try:
            return await node.execute(batch)
        except (NotSentError, *LOST) as error:
            return [error] * len(batch)


def _may_repeat(error: Exception, *, lost_too: bool) -> bool:
    if isinstance(_cause(error), AuthenticationError):
        return False
    if isinstance(error, (*REDIRECTED, NotSentError)) or is_not_done(error):
        return True
    return lost_too and isinstance(error, LOST)


def _cause(error: Exception) -> Exception:
    if not isinstance(error, NotSentError):
        return error
    cause = error.args[0] if error.args else error.__cause__
    return cause if isinstance(cause, Exception) else error


def _pauses() -> Iterator[float]:
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _LAST_PAUSE_S)
