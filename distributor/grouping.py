"""The grouping key in the path of a push: /metrics/job/JOB[/LABEL/VALUE…], with texts as the Pushgateway words them."""

import base64
import re
from urllib.parse import unquote_to_bytes

from shared.errors import BadDataError

PREFIXES = ("/metrics/job/", "/metrics/job@base64/")

_BASE64 = "@base64"
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ALPHABET = re.compile(rb"[A-Za-z0-9_-]*")


def grouping_of(raw_path: bytes) -> list[tuple[str, str]]:
    """Name and value of each grouping label, the job among them. Raises BadDataError."""
    path = _text(unquote_to_bytes(raw_path))
    _, _, kind, job, *rest = path.split("/")
    if kind == "job" + _BASE64:
        try:
            job = _decoded(job)
        except _IllegalBase64Error as error:
            raise BadDataError(f'invalid base64 encoding in job name "{error.begin}": {error}') from error
    labels = _labels(rest)
    if not job:
        raise BadDataError("job name is required")
    labels["job"] = job
    return list(labels.items())


def _labels(parts: list[str]) -> dict[str, str]:
    """Of two with one name the later."""
    if parts == [""]:  # a slash right behind the job
        return {}
    if len(parts) % 2:
        text = "/".join(["", *parts])
        raise BadDataError(f'odd number of components in label string "{text[:200]}"')
    labels = {}
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        bare = name.removesuffix(_BASE64)
        if not _LABEL_NAME.fullmatch(bare) or bare.startswith("__"):
            raise BadDataError(f'improper label name "{bare[:200]}"')
        if bare == name:
            labels[name] = value
        else:
            try:
                labels[bare] = _decoded(value)
            except _IllegalBase64Error as error:
                raise BadDataError(f'invalid base64 encoding for label {bare}="{value[:200]}": {error}') from error
    return labels


class _IllegalBase64Error(Exception):
    """`begin` is what was decoded before the error."""

    def __init__(self, begin: str, at: int) -> None:
        super().__init__(f"illegal base64 data at input byte {at}")
        self.begin = begin


def _decoded(value: str) -> str:
    """Of the URL's alphabet; padding is optional."""
    encoded = value.rstrip("=").encode("utf-8", "replace")
    good = _ALPHABET.match(encoded)
    at = good.end() if good else 0
    if at == len(encoded) and at % 4 != 1:
        return _text(base64.urlsafe_b64decode(encoded + b"=" * (-at % 4)))
    begin = base64.urlsafe_b64decode(encoded[: at - at % 4]).decode(errors="replace")
    raise _IllegalBase64Error(begin, at)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadDataError(f"a job or label in the path is not valid UTF-8: {value[:100]!r}") from error
