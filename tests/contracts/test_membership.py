"""The contract of `shared.seams.membership.Membership`."""

import pytest

from shared.errors import ConflictError
from shared.seams.membership import Lease, Member
from tests.contracts.harness import MembershipHarness

TTL_MS = 10_000

A0 = Member("a-0", "a", "n1", "10.0.0.1:9095")
A0_AGAIN = Member("a-0", "a", "n2", "10.0.0.2:9095")
A1 = Member("a-1", "a", "n3", "10.0.0.3:9095")
B0 = Member("b-0", "b", "n4", "[::1]:9095")


def held(leases: list[Lease]) -> list[tuple[str, int, str, str]]:
    return [(lease.zone, lease.partition, lease.owner, lease.nonce) for lease in leases]


class TestMember:
    async def test_is_announced_with_the_stores_time(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        before = await store.now_ms()
        announced = await store.announce(A0, ttl_ms=TTL_MS)
        assert before <= announced.since_ms <= await store.now_ms()
        assert (announced.name, announced.zone, announced.nonce, announced.address) == (
            A0.name,
            A0.zone,
            A0.nonce,
            A0.address,
        )
        assert await store.members() == [announced]

    async def test_every_process_sees_all_by_name(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        announced = [await store.announce(member, ttl_ms=TTL_MS) for member in (B0, A1, A0)]
        assert await (await memberships.open()).members() == sorted(announced, key=lambda member: member.name)

    async def test_keeps_its_age_while_it_renews(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        await store.announce(A0, ttl_ms=TTL_MS)
        for _ in range(3):
            await memberships.pass_time(9_000)
            renewed = await store.announce(A0, ttl_ms=TTL_MS)
        assert await store.now_ms() - renewed.since_ms >= 27_000
        assert await store.members() == [renewed]

    async def test_may_move_to_another_address(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        await store.announce(A0, ttl_ms=TTL_MS)
        moved = await store.announce(Member("a-0", "a", "n1", "10.9.9.9:1"), ttl_ms=TTL_MS)
        assert [member.address for member in await store.members()] == [moved.address] == ["10.9.9.9:1"]

    async def test_is_gone_when_its_time_has_passed_and_then_begins_anew(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        first = await store.announce(A0, ttl_ms=TTL_MS)
        await memberships.pass_time(11_000)
        assert await store.members() == []
        again = await store.announce(A0, ttl_ms=TTL_MS)
        assert await store.now_ms() - again.since_ms < 11_000
        assert (again.name, again.nonce) == (first.name, first.nonce)

    async def test_a_taken_name_is_refused_and_says_by_whom(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        await store.announce(A0, ttl_ms=TTL_MS)
        with pytest.raises(ConflictError, match=r"a-0 .*10\.0\.0\.1:9095"):
            await store.announce(A0_AGAIN, ttl_ms=TTL_MS)
        assert [member.nonce for member in await store.members()] == ["n1"]

    async def test_a_name_is_free_after_its_time(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        await store.announce(A0, ttl_ms=TTL_MS)
        await memberships.pass_time(11_000)
        await store.announce(A0_AGAIN, ttl_ms=TTL_MS)
        with pytest.raises(ConflictError, match=r"10\.0\.0\.2:9095"):
            await store.announce(A0, ttl_ms=TTL_MS)

    async def test_is_withdrawn_by_itself_only(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        await store.announce(A0, ttl_ms=TTL_MS)
        await store.withdraw(A0_AGAIN)
        assert [member.nonce for member in await store.members()] == ["n1"]
        await store.withdraw(A0)
        assert await store.members() == []
        await store.withdraw(A0)
        await store.announce(A0_AGAIN, ttl_ms=TTL_MS)


class TestLease:
    async def test_keeps_others_out_while_it_stands(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        before = await store.now_ms()
        lease = await store.acquire(1, member=A0, ttl_ms=TTL_MS)
        assert lease is not None
        assert (lease.partition, lease.zone, lease.owner, lease.nonce, lease.address) == (
            1,
            "a",
            "a-0",
            "n1",
            "10.0.0.1:9095",
        )
        assert before + TTL_MS <= lease.expires_ms <= await store.now_ms() + TTL_MS
        assert await store.acquire(1, member=A0_AGAIN, ttl_ms=TTL_MS) is None
        assert await store.leases("a") == [lease]

    async def test_is_per_zone_and_partition(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        for member, partition in ((A0, 1), (A1, 0), (B0, 1)):
            assert await store.acquire(partition, member=member, ttl_ms=TTL_MS)
        assert held(await store.leases("a")) == [("a", 0, "a-1", "n3"), ("a", 1, "a-0", "n1")]
        assert held(await store.leases("b")) == [("b", 1, "b-0", "n4")]
        assert held(await store.leases()) == [("a", 0, "a-1", "n3"), ("a", 1, "a-0", "n1"), ("b", 1, "b-0", "n4")]

    async def test_is_taken_again_by_its_own_nonce(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        await store.acquire(1, member=A0, ttl_ms=TTL_MS)
        await memberships.pass_time(5_000)
        before = await store.now_ms()
        again = await store.acquire(1, member=A0, ttl_ms=TTL_MS)
        assert again is not None
        assert again.expires_ms >= before + TTL_MS

    async def test_ends_unless_it_is_renewed(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        lease = await store.acquire(1, member=A0, ttl_ms=TTL_MS)
        assert lease is not None
        await memberships.pass_time(9_000)
        renewed = await store.renew(lease, ttl_ms=TTL_MS)
        assert renewed is not None
        await memberships.pass_time(9_000)
        assert await store.acquire(1, member=A1, ttl_ms=TTL_MS) is None
        await memberships.pass_time(2_000)
        assert await store.leases("a") == []
        assert await store.acquire(1, member=A1, ttl_ms=TTL_MS)
        assert await store.renew(renewed, ttl_ms=TTL_MS) is None

    async def test_is_renewed_after_its_end_if_nobody_took_it(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        lease = await store.acquire(1, member=A0, ttl_ms=TTL_MS)
        assert lease is not None
        await memberships.pass_time(60_000)
        assert await store.renew(lease, ttl_ms=TTL_MS)
        assert held(await store.leases("a")) == [("a", 1, "a-0", "n1")]

    async def test_is_released_by_its_holder_only(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        old = await store.acquire(1, member=A0, ttl_ms=TTL_MS)
        assert old is not None
        await memberships.pass_time(11_000)
        new = await store.acquire(1, member=A1, ttl_ms=TTL_MS)
        assert new is not None
        await store.release(old)
        assert await store.leases("a") == [new]
        await store.release(new)
        assert await store.leases("a") == []

    async def test_does_not_hang_on_the_announcement(self, memberships: MembershipHarness) -> None:
        store = await memberships.open()
        await store.announce(A0, ttl_ms=TTL_MS)
        lease = await store.acquire(1, member=A0, ttl_ms=TTL_MS)
        await store.withdraw(A0)
        assert await store.leases() == [lease]
