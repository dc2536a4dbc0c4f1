"""How a request may fail."""


class LoadError(Exception):
    """Nothing can be begun like this; the text says what to change."""


class RequestError(Exception):
    """No answer came, and whether the server has done what it was asked is unknown. `kind` is one of a few words."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


class UnreachableError(RequestError):
    """No connection, so nothing was sent."""

    def __init__(self, detail: str) -> None:
        super().__init__("unreachable", detail)
