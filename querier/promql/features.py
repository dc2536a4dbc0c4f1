"""What of the language is behind a switch: re-exported for those who parse."""

from shared.model.features import DEFAULT_FEATURES, Features

__all__ = ["ALL_FEATURES", "DEFAULT_FEATURES", "Features"]

ALL_FEATURES = Features(**dict.fromkeys(Features.names(), True))
