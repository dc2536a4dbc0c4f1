"""Settings: what can be set, where it comes from, and what each role cannot do without."""

from headrace.settings.addresses import join_address, split_address
from headrace.settings.loading import (
    SERVER_VARIABLE,
    Loaded,
    SettingsError,
    flag_of,
    load,
    setting_paths,
    validated,
    variable_of,
)
from headrace.settings.model import CLUSTER_PARTITIONS, STANDALONE_PARTITIONS, Settings, hidden_settings
from headrace.settings.needs import ClusterRole, check_needs

__all__ = [
    "CLUSTER_PARTITIONS",
    "SERVER_VARIABLE",
    "STANDALONE_PARTITIONS",
    "ClusterRole",
    "Loaded",
    "Settings",
    "SettingsError",
    "check_needs",
    "flag_of",
    "hidden_settings",
    "join_address",
    "load",
    "setting_paths",
    "split_address",
    "validated",
    "variable_of",
]
