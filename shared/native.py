"""The documented face of the native core: the only importer of `shared._native`, and the only thing others import."""

import os

_ALLOCATOR = {
    # Freed pages go back after so many milliseconds instead of a second. Some 90 MB less stay after a flush of 100,000
    # series, and the peak before it is lower by a few MB. At once (0) would save 50 MB more, but costs a replay a
    # quarter of its speed.
    "MIMALLOC_PURGE_DELAY": "10",
    # No huge pages: two megabytes are resident where some kilobytes are used, or were. With them an ingester that held
    # two hours of 100,000 series took 43 MB more, and was not faster.
    "MIMALLOC_ALLOW_THP": "0",
}
"""Read by the native allocator when the module is loaded. A value that is already set stays."""

_added = {name: value for name, value in _ALLOCATOR.items() if name not in os.environ}
os.environ.update(_added)

from shared import _native  # noqa: E402  the environment comes first
from shared._native import *  # noqa: E402, F403  the stub lists every name, and stubtest proves that it does

for _name in _added:
    del os.environ[_name]  # what this process starts may want others

__all__ = ["Grid"]
__all__ += _native.__all__

Grid = tuple[int, int, int]
"""(start_ms, step_ms, steps)."""
