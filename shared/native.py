"""The documented face of the native core: the only importer of `shared._native`, and the only thing others import."""

from shared import _native
from shared._native import *  # noqa: F403  the stub lists every name, and stubtest proves that it does

__all__ = ["Grid"]
__all__ += _native.__all__

Grid = tuple[int, int, int]
"""(start_ms, step_ms, steps)."""
