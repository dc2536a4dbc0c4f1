"""The documented face of the native core: the only importer of `shared._native`, and the only thing others import."""

import os

# Read by the native allocator when the module is loaded. Freed pages go back at once: 10 to 20 MB less at the peak of
# an ingest of 100,000 series, and 130 MB less after its flush. A value that is already set stays.
os.environ.setdefault("MIMALLOC_PURGE_DELAY", "0")

from shared import _native
from shared._native import *  # noqa: F403  the stub lists every name, and stubtest proves that it does

__all__ = ["Grid"]
__all__ += _native.__all__

Grid = tuple[int, int, int]
"""(start_ms, step_ms, steps)."""
