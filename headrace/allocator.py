"""What the native allocator is told of a role, before the native module is loaded: `shared/native.py` has the rest."""

import os

from headrace.settings import ClusterRole

_PURGE_DELAY_MS = {ClusterRole.DISTRIBUTOR: 1000}
"""After which freed pages go back. A distributor uses the same ones for every request, and getting them anew costs it a
tenth of its CPU; it holds nothing that a flush could free, and takes some 12 MB more for this.
"""


def suit(role: ClusterRole) -> None:
    """For this process and its workers. A value that is already set stays."""
    if (delay_ms := _PURGE_DELAY_MS.get(role)) is not None:
        os.environ.setdefault("MIMALLOC_PURGE_DELAY", str(delay_ms))
