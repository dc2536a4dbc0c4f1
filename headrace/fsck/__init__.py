"""Checks what is stored: manifests, payload and cursors against each other, and against the log where there is one."""

from headrace.fsck.report import CheckError, Report
from headrace.settings import Settings

__all__ = ["CheckError", "Report", "check"]


def check(settings: Settings) -> Report:
    """Of the cluster whose Redis the settings name, else of the data folder. CheckError: it cannot be looked at."""
    if settings.redis.url is not None:
        from headrace.fsck.cluster import check_cluster  # a folder needs no client of Redis

        return check_cluster(settings)
    from headrace.fsck.folder import check_folder

    return check_folder(settings)
