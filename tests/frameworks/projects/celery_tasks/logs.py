"""Logging, configured where it is imported: the project's to stdout."""

import logging
import logging.config

import structlog

logging.config.dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "project %(name)s %(message)s"}},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line"}},
        "loggers": {name: {"handlers": ["stdout"], "level": "INFO"} for name in ("tasks", "api")},
    }
)
structlog.configure(
    processors=[structlog.stdlib.render_to_log_kwargs],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)
extra = logging.StreamHandler()
extra.setFormatter(logging.Formatter("extra %(name)s %(message)s"))
logging.getLogger("api").addHandler(extra)
