"""The contract of `shared.seams.membership.Membership`."""

from tests.contracts.harness import MembershipHarness
from tests.support.clock import FakeClock

TTL_MS = 10_000


class TestLease:
    async def test_keeps_others_out_while_it_stands(self, memberships: MembershipHarness) -> None:
        clock = FakeClock()
        members = memberships.open(clock)
        lease = await members.acquire(1, zone="a", owner="a-0", nonce="n1", ttl_ms=TTL_MS)
        assert lease is not None
        assert (lease.partition, lease.owner, lease.expires_ms) == (1, "a-0", clock.now_ms() + TTL_MS)
        assert await members.acquire(1, zone="a", owner="a-0", nonce="n2", ttl_ms=TTL_MS) is None
        assert await members.leases("a") == [lease]

    async def test_is_per_zone_and_partition(self, memberships: MembershipHarness) -> None:
        members = memberships.open(FakeClock())
        for zone, partition in (("a", 1), ("a", 0), ("b", 1)):
            assert await members.acquire(partition, zone=zone, owner=zone, nonce=f"{zone}{partition}", ttl_ms=TTL_MS)
        assert [lease.partition for lease in await members.leases("a")] == [0, 1]
        assert [lease.partition for lease in await members.leases("b")] == [1]

    async def test_is_taken_again_by_its_own_nonce(self, memberships: MembershipHarness) -> None:
        clock = FakeClock()
        members = memberships.open(clock)
        await members.acquire(1, zone="a", owner="a-0", nonce="n1", ttl_ms=TTL_MS)
        clock.advance(5)
        again = await members.acquire(1, zone="a", owner="a-0", nonce="n1", ttl_ms=TTL_MS)
        assert again is not None
        assert again.expires_ms == clock.now_ms() + TTL_MS

    async def test_ends_unless_it_is_renewed(self, memberships: MembershipHarness) -> None:
        clock = FakeClock()
        members = memberships.open(clock)
        lease = await members.acquire(1, zone="a", owner="a-0", nonce="n1", ttl_ms=TTL_MS)
        assert lease is not None
        clock.advance(9)
        renewed = await members.renew(lease, ttl_ms=TTL_MS)
        assert renewed is not None
        clock.advance(9)
        assert await members.acquire(1, zone="a", owner="a-1", nonce="n2", ttl_ms=TTL_MS) is None
        clock.advance(2)
        assert await members.leases("a") == []
        assert await members.acquire(1, zone="a", owner="a-1", nonce="n2", ttl_ms=TTL_MS)
        assert await members.renew(renewed, ttl_ms=TTL_MS) is None

    async def test_is_renewed_after_its_end_if_nobody_took_it(self, memberships: MembershipHarness) -> None:
        clock = FakeClock()
        members = memberships.open(clock)
        lease = await members.acquire(1, zone="a", owner="a-0", nonce="n1", ttl_ms=TTL_MS)
        assert lease is not None
        clock.advance(60)
        assert await members.renew(lease, ttl_ms=TTL_MS)

    async def test_is_released_by_its_holder_only(self, memberships: MembershipHarness) -> None:
        clock = FakeClock()
        members = memberships.open(clock)
        old = await members.acquire(1, zone="a", owner="a-0", nonce="n1", ttl_ms=TTL_MS)
        assert old is not None
        clock.advance(11)
        new = await members.acquire(1, zone="a", owner="a-1", nonce="n2", ttl_ms=TTL_MS)
        assert new is not None
        await members.release(old)
        assert await members.leases("a") == [new]
        await members.release(new)
        assert await members.leases("a") == []
