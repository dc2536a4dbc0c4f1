"""Tokens: made from 256 random bits, found by their SHA-256, kept encrypted so that they can be shown again."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import BadDataError, InternalError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN_BYTES = 32
MIN_TOKEN_CHARS = 16
MAX_TOKEN_CHARS = 512

_KEY_BYTES = 32  # AES-256
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_FORMAT = b"\x01"


def new_token() -> str:
    """43 characters of URL-safe text."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_sha256(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def check_token(token: str) -> str:
    """A token that somebody chose. Raises BadDataError for one that is too short or does not fit in a header."""
    if not MIN_TOKEN_CHARS <= len(token) <= MAX_TOKEN_CHARS:
        raise BadDataError(f"a token has {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} characters, this one {len(token)}")
    if not all("!" <= char <= "~" for char in token):
        raise BadDataError("a token holds printable ASCII characters only, and no spaces")
    return token


class TokenVault:
    """Seals tokens with AES-256-GCM: format (1 byte), key id (4), nonce (12), ciphertext and tag.

    The uid is associated data, so that a sealed token cannot be moved to another instance. The first key seals; every
    key opens, so that a key is replaced by putting a new one first.
    """

    __slots__ = ("_keys", "_primary")

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_key_id(key): key for key in keys}
        self._primary = _key_id(keys[0])

    def seal(self, uid: bytes, token: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return _FORMAT + self._primary + nonce + _cipher(self._keys[self._primary]).encrypt(nonce, token.encode(), uid)

    def unseal(self, uid: bytes, sealed: bytes) -> str:
        """Raises InternalError if the key is not there or the bytes were changed."""
        from cryptography.exceptions import InvalidTag

        key_id = sealed[1 : 1 + _KEY_ID_BYTES]
        nonce = sealed[1 + _KEY_ID_BYTES : 1 + _KEY_ID_BYTES + _NONCE_BYTES]
        key = self._keys.get(key_id)
        if sealed[:1] != _FORMAT or key is None:
            raise InternalError(f"the token was sealed with key {key_id.hex()}, which the key file does not hold")
        try:
            return _cipher(key).decrypt(nonce, sealed[1 + _KEY_ID_BYTES + _NONCE_BYTES :], uid).decode()
        except InvalidTag:
            raise InternalError("the sealed token does not belong to this instance or was changed") from None


def open_vault(key_file: Path, *, sealed: int | None) -> TokenVault:
    """The vault of a key file, one key of 64 hex digits a line.

    The file is made, mode 0600, if it is not there and no tokens are `sealed` yet; never with None, for then others
    seal with it too. Raises ValueError with what to change if it is missing, open to others or does not hold keys.
    """
    try:
        if not key_file.exists():
            if sealed is None:
                raise ValueError(
                    f"key_file: {key_file} is missing: bring the file that the other processes of the cluster have; "
                    f"for a new cluster make it: (umask 077; openssl rand -hex 32 > {key_file})"
                )
            if sealed:
                raise ValueError(
                    f"key_file: {key_file} is missing, and {sealed} tokens are sealed with it: bring it back; if it is "
                    "lost, write 64 random hex digits into it (mode 600), start, and rotate the tokens"
                )
            with contextlib.suppress(FileExistsError):
                _create_key_file(key_file)
        mode = key_file.stat().st_mode & 0o777
        text = key_file.read_bytes().decode("ascii", "replace")
    except OSError as error:
        raise ValueError(f"key_file: {key_file} cannot be used: {error.strerror}") from None
    if mode & 0o077:
        raise ValueError(f"key_file: {key_file} is open to other users (mode {mode:o}): chmod 600 {key_file}")
    try:
        return TokenVault(parse_keys(text))
    except ValueError as error:
        raise ValueError(f"key_file: {key_file} {error}") from None


def parse_keys(text: str) -> list[bytes]:
    """Raises ValueError, which does not repeat what it was given."""
    try:
        keys = [bytes.fromhex(word) for word in text.split()]
    except ValueError:
        keys = []
    if not keys or any(len(key) != _KEY_BYTES for key in keys):
        raise ValueError(f"must hold keys of {2 * _KEY_BYTES} hex digits, separated by blanks or lines")
    return keys


def _create_key_file(key_file: Path) -> None:
    """Whole or not at all: an empty key file would stop every later start. Raises FileExistsError."""
    temporary = key_file.with_name(f".{key_file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, os.urandom(_KEY_BYTES).hex().encode() + b"\n")
        os.fsync(descriptor)
        os.link(temporary, key_file)  # unlike a rename it never replaces the keys of somebody faster
    finally:
        os.close(descriptor)
        temporary.unlink()
    folder = os.open(key_file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # a sealed token must not outlive its key through a power cut
    finally:
        os.close(folder)


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"headrace key id" + key).digest()[:_KEY_ID_BYTES]


def _cipher(key: bytes) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 15 ms that no write or query needs

    return AESGCM(key)
