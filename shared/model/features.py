"""What Prometheus puts behind `--enable-feature`: here a setting of each instance, all off by default, as there."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from shared.errors import BadDataError

_SWITCHES = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


@dataclass(slots=True, frozen=True)
class Features:
    """Parts of PromQL that an instance's queries may use, or that change what they mean."""

    experimental_functions: bool = False
    """Functions and aggregations that Prometheus calls experimental."""
    extended_range_selectors: bool = False
    """`anchored` and `smoothed`."""
    binop_fill_modifiers: bool = False
    """`fill`, `fill_left` and `fill_right`."""
    delayed_name_removal: bool = False
    """Names of metrics are dropped at the end of a query."""
    use_start_timestamps: bool = False
    """Start times of samples tell of resets."""
    type_and_unit_labels: bool = False
    """Whether a metric is a counter is told by its label `__type__`, not by its name."""

    @classmethod
    def names(cls) -> list[str]:
        return [f.name for f in fields(cls)]


DEFAULT_FEATURES = Features()


def changed_features(features: Features, changes: Mapping[str, object]) -> Features:
    """`features` with some switched; values may be text. Raises BadDataError naming the feature and what it may be."""
    switched: dict[str, bool] = {}
    for name, value in changes.items():
        if name not in Features.names():
            raise BadDataError(f"there is no feature {name}; the features are {', '.join(Features.names())}")
        is_on = value if isinstance(value, bool) else _SWITCHES.get(str(value).lower())
        if is_on is None:
            raise BadDataError(f"{name} must be on or off, not {value!r}")
        switched[name] = is_on
    return replace(features, **switched)


def how_to_enable(name: str) -> str:
    """For the text of an error."""
    return f"headrace instances set-feature APPID {name}=on"
