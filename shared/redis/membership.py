"""Members and leases on Redis.

All lie in one slot, so that a list is one command and every time is from one clock, the server's. A value begins with
the time at which it ends, which the scripts compare; they change what is there as little on a full Redis as on another.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shared.errors import ConflictError, InternalError
from shared.redis.client import Client, Command, Script
from shared.redis.keys import LEASES, MEMBERS
from shared.redis.node import Argument, Reply
from shared.seams.membership import Lease, Member

_COMMON = """
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- 'EXPIRES SINCE NONCE JSON'; the nonce is in hexadecimal.
local function taken_apart(value)
  local expires, since, nonce, json = string.match(value, '^(%d+) (%d+) (%x*) (.*)$')
  return tonumber(expires) or 0, tonumber(since) or 0, nonce, json
end
local function put_together(expires, since, nonce, json)
  return string.format('%.0f %.0f %s %s', expires, since, nonce, json)
end
"""

# ARGV: field, nonce, time to live in ms, JSON. {1, since, expires}, or {0, JSON of the holder, ms until it ends}.
# Who takes a field anew also clears away what ended more than a day ago.
_TAKE = Script(
    "#!lua flags=allow-oom\n"
    + _COMMON
    + """
local now = now_ms()
local since = now
local held = redis.call('HGET', KEYS[1], ARGV[1])
local expires, held_since, nonce, json
if held then expires, held_since, nonce, json = taken_apart(held) end
if held and expires > now then
  if nonce ~= ARGV[2] then return {0, json, expires - now} end
  since = held_since
else
  local all = redis.call('HGETALL', KEYS[1])
  for number = 1, #all, 2 do
    if taken_apart(all[number + 1]) < now - 86400000 then redis.call('HDEL', KEYS[1], all[number]) end
  end
end
local ends = now + tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], put_together(ends, since, ARGV[2], ARGV[4]))
return {1, since, ends}
"""
)

# ARGV: field, nonce.
_LET_GO = Script(
    "#!lua flags=allow-oom\n"
    + _COMMON
    + """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held then return 0 end
local _, _, nonce = taken_apart(held)
if nonce == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
"""
)

# {now, JSON, since, expires, …} of all that stand.
_LIST = Script(
    "#!lua flags=no-writes\n"
    + _COMMON
    + """
local now = now_ms()
local found = {now}
for _, value in ipairs(redis.call('HVALS', KEYS[1])) do
  local expires, since, _, json = taken_apart(value)
  if expires > now then
    found[#found + 1] = json
    found[#found + 1] = since
    found[#found + 1] = expires
  end
end
return found
"""
)


_TOLD = {
    MEMBERS: ("name", "zone", "nonce", "address"),
    LEASES: ("partition", "zone", "owner", "nonce", "address"),
}
"""What the JSON of each holds, named as the fields of Member and Lease."""


class RedisMembership:
    """`shared.seams.membership.Membership`. The client is the caller's to close. Every call may be repeated."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def announce(self, member: Member, *, ttl_ms: int) -> Member:
        done, *detail = await self._take(MEMBERS, member.name, member, ttl_ms)
        if not done:
            holder, left_ms = _decoded(MEMBERS, detail[0]), int(detail[1])
            raise ConflictError(
                f"the name {member.name} is taken by the process at {holder['address']}, which was alive "
                f"{(ttl_ms - left_ms) / 1000:.1f} s ago: stop it, or give this one another name. "
                f"If it has died, the name is free in {left_ms / 1000:.0f} s"
            )
        return replace(member, since_ms=int(detail[0]))

    async def withdraw(self, member: Member) -> None:
        await self._let_go(MEMBERS, member.name, member.nonce)

    async def members(self) -> list[Member]:
        _, entries = await self._list(MEMBERS)
        members = [Member(**told, since_ms=since_ms) for told, since_ms, _ in entries]
        return sorted(members, key=lambda member: member.name)

    async def now_ms(self) -> int:
        now_ms, _ = await self._list(MEMBERS)
        return now_ms

    async def acquire(self, partition: int, *, member: Member, ttl_ms: int) -> Lease | None:
        wanted = Lease(partition, member.zone, member.name, member.nonce, member.address, 0)
        return await self.renew(wanted, ttl_ms=ttl_ms)

    async def renew(self, lease: Lease, *, ttl_ms: int) -> Lease | None:
        done, *detail = await self._take(LEASES, _field(lease), lease, ttl_ms)
        return replace(lease, expires_ms=int(detail[1])) if done else None

    async def release(self, lease: Lease) -> None:
        await self._let_go(LEASES, _field(lease), lease.nonce)

    async def leases(self, zone: str | None = None) -> list[Lease]:
        _, entries = await self._list(LEASES)
        leases = [Lease(**told, expires_ms=expires_ms) for told, _, expires_ms in entries]
        return sorted(
            (lease for lease in leases if zone in (None, lease.zone)), key=lambda lease: (lease.zone, lease.partition)
        )

    async def _take(self, key: str, field: str, holder: Member | Lease, ttl_ms: int) -> Sequence[Reply]:
        told = json.dumps({name: getattr(holder, name) for name in _TOLD[key]}, separators=(",", ":"))
        args: list[Argument] = [field, holder.nonce.encode().hex(), ttl_ms, told]
        reply: Sequence[Reply] = await self._client.call(Command.running(_TAKE, [key], args))
        return reply

    async def _let_go(self, key: str, field: str, nonce: str) -> None:
        await self._client.call(Command.running(_LET_GO, [key], [field, nonce.encode().hex()]))

    async def _list(self, key: str) -> tuple[int, list[tuple[dict[str, Any], int, int]]]:
        """(now, (what was told, since, expires) of all that stand), times in ms."""
        now_ms, *flat = await self._client.call(Command.running(_LIST, [key]))
        entries = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        return int(now_ms), [(_decoded(key, told), int(since), int(expires)) for told, since, expires in entries]


def _field(lease: Lease) -> str:
    return f"{lease.partition:05}/{lease.zone}"


def _decoded(key: str, told: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(told)
        return {name: found[name] for name in _TOLD[key]}
    except (ValueError, KeyError, TypeError) as error:
        raise InternalError(f"{key} of Redis holds {told!r}, which no ingester writes") from error
