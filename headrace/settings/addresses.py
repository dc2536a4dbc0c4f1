"""Addresses as people write them."""

WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104  compared with, not bound to


def split_address(listen: str) -> tuple[str, int]:
    """(host, port). Raises ValueError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"must be HOST:PORT with a port up to 65535, not {listen!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_advertised(text: str) -> tuple[str, int | None]:
    """(host, port) of HOST or HOST:PORT. Raises ValueError."""
    has_port = ":" in text and not text.endswith("]")
    host, port = split_address(text) if has_port else (text.removeprefix("[").removesuffix("]"), None)
    if not host or host in WILDCARDS:
        raise ValueError(f"must be HOST or HOST:PORT that others can reach, not {text!r}")
    return host, port


def split_brokers(value: object) -> object:
    """A list of HOST:PORT from a text with commas. Raises ValueError."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        return value  # the type's own complaint
    for part in parts:
        split_address(str(part))
    return tuple(str(part) for part in parts)
