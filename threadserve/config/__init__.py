"""Every setting, declared once: its name, type, default, help and check. The rest of the package reads `Config`."""

from threadserve.config.config import Config
from threadserve.config.settings import groups, settings
from threadserve.logging.default_config import LOG_LEVELS, LOGGING_CONFIG

__all__ = ["LOGGING_CONFIG", "LOG_LEVELS", "Config", "groups", "settings"]
