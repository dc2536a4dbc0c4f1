"""What Prometheus puts behind `--enable-feature`; all off, as there."""

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Features:
    experimental_functions: bool = False
    extended_range_selectors: bool = False
    binop_fill_modifiers: bool = False
    delayed_name_removal: bool = False
    use_start_timestamps: bool = False


DEFAULT_FEATURES = Features()
ALL_FEATURES = Features(
    experimental_functions=True,
    extended_range_selectors=True,
    binop_fill_modifiers=True,
    delayed_name_removal=True,
    use_start_timestamps=True,
)
