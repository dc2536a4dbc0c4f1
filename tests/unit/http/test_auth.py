"""Tokens, the Authorization header, and who it belongs to."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from shared.auth.authenticator import Authenticator
from shared.auth.credentials import parse_authorization
from shared.auth.tokens import TokenVault, check_token, new_token, open_vault, token_sha256
from shared.errors import BadDataError, InternalError, UnauthorizedError
from shared.model.instance import Instance

UID = bytes(16)
TOKEN = "correct-horse-battery"


def basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


def instance(app_id: str = "a", token: str = TOKEN) -> Instance:
    return Instance(app_id, UID, token_sha256(token), b"sealed")


class OneInstance:
    """The part of a registry that authentication uses."""

    def __init__(self, held: Instance) -> None:
        self.held = held
        self.version = 0
        self.lookups = 0

    async def by_token_sha256(self, digest: bytes) -> Instance | None:
        self.lookups += 1
        return self.held if self.held.token_sha256 == digest else None

    def change(self, held: Instance) -> None:
        self.held = held
        self.version += 1


def authenticator(registry: OneInstance, capacity: int = 10) -> Authenticator:
    return Authenticator(registry, capacity=capacity)  # type: ignore[arg-type]


def test_tokens_are_long_random_and_url_safe() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 43 and check_token(token) == token for token in tokens)


@pytest.mark.parametrize(
    "token", ["short", "x" * 513, "with a space in between", "ünïcödé-ünïcödé-ünïcödé", "new\nline-new\nline"]
)
def test_a_chosen_token_must_be_long_enough_and_fit_in_a_header(token: str) -> None:
    with pytest.raises(BadDataError):
        check_token(token)


@pytest.mark.parametrize(
    ("header", "app_id"),
    [
        (b"Bearer " + TOKEN.encode(), None),
        (b"bearer  " + TOKEN.encode(), None),
        (basic("a", TOKEN), "a"),
        (basic("", TOKEN), ""),
        (basic("a", TOKEN).replace(b"Basic", b"BASIC"), "a"),
    ],
)
def test_both_schemes_are_understood(header: bytes, app_id: str | None) -> None:
    credentials = parse_authorization(header)
    assert (credentials.app_id, credentials.token) == (app_id, TOKEN)
    assert TOKEN not in repr(credentials)


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Digest abc",
        b"Basic !!!",
        b"Basic " + base64.b64encode(b"no colon"),
        b"Basic " + base64.b64encode(b"\xff:\xfe"),
        b"Bearer \xff\xfe",
        b"Bearer " + b"x" * 10_000,
    ],
)
async def test_a_malformed_header_is_refused_without_repeating_it(header: bytes | None) -> None:
    with pytest.raises(UnauthorizedError) as refused:
        await authenticator(OneInstance(instance())).authenticate(header)
    assert "xxx" not in str(refused.value)


async def test_the_user_must_be_the_instance_that_the_token_belongs_to() -> None:
    auth = authenticator(OneInstance(instance()))
    assert (await auth.authenticate(basic("a", TOKEN))).app_id == "a"
    assert (await auth.authenticate(b"Bearer " + TOKEN.encode())).app_id == "a"
    for header in (basic("b", TOKEN), basic("", TOKEN), basic("a", TOKEN + "x"), b"Bearer " + TOKEN.encode() + b"x"):
        with pytest.raises(UnauthorizedError):
            await auth.authenticate(header)


async def test_a_known_header_is_not_looked_up_again_until_the_registry_changes() -> None:
    registry = OneInstance(instance())
    auth = authenticator(registry)
    for _ in range(5):
        await auth.authenticate(basic("a", TOKEN))
    assert registry.lookups == 1
    registry.change(replace(registry.held, shards=4))
    assert (await auth.authenticate(basic("a", TOKEN))).shards == 4
    registry.change(instance(token="another-token-altogether"))
    with pytest.raises(UnauthorizedError):
        await auth.authenticate(basic("a", TOKEN))


async def test_what_is_remembered_is_bounded_and_failures_are_not_remembered() -> None:
    registry = OneInstance(instance())
    auth = authenticator(registry, capacity=2)
    good = [b"Bearer " + b" " * n + TOKEN.encode() for n in range(3)]
    for header in good:
        await auth.authenticate(header)
    assert registry.lookups == 3
    await auth.authenticate(good[2])
    assert registry.lookups == 3
    await auth.authenticate(good[0])  # was the oldest
    assert registry.lookups == 4


def test_a_token_is_sealed_for_one_instance_and_one_key() -> None:
    vault = TokenVault([bytes(range(32))])
    sealed = vault.seal(UID, TOKEN)
    assert TOKEN.encode() not in sealed
    assert vault.seal(UID, TOKEN) != sealed
    assert vault.unseal(UID, sealed) == TOKEN
    with pytest.raises(InternalError, match="does not belong"):
        vault.unseal(b"x" * 16, sealed)
    with pytest.raises(InternalError, match="does not belong"):
        vault.unseal(UID, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(InternalError, match="key file does not hold"):
        TokenVault([bytes(32)]).unseal(UID, sealed)
    rotated = TokenVault([bytes(32), bytes(range(32))])
    assert rotated.unseal(UID, sealed) == TOKEN
    assert rotated.seal(UID, TOKEN)[1:5] != sealed[1:5]


def test_a_key_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full_disk)
        with pytest.raises(ValueError, match=r"token\.key cannot be used: No space left"):
            open_vault(tmp_path / "token.key", sealed=0)
    assert list(tmp_path.iterdir()) == []
    open_vault(tmp_path / "token.key", sealed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["token.key"]


def test_a_key_file_is_made_private_and_must_stay_so(tmp_path: Path) -> None:
    file = tmp_path / "token.key"
    sealed = open_vault(file, sealed=0).seal(UID, TOKEN)
    assert file.stat().st_mode & 0o777 == 0o600
    assert open_vault(file, sealed=1).unseal(UID, sealed) == TOKEN
    file.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        open_vault(file, sealed=1)
    file.chmod(0o600)
    file.write_text("not a key\n")
    with pytest.raises(ValueError, match="64 hex digits"):
        open_vault(file, sealed=1)
    with pytest.raises(ValueError, match=r"none/token\.key cannot be used: No such file"):
        open_vault(tmp_path / "none" / "token.key", sealed=0)
    file.unlink()
    with pytest.raises(ValueError, match="is missing, and 3 tokens are sealed with it"):
        open_vault(file, sealed=3)
    assert not file.exists()
