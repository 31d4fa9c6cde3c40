"""Where log lines go: stderr, readable on a terminal, one JSON object a line elsewhere. Never stdout.

What may stand in a line is decided where it is logged: no address, no token, no key.
"""

import logging
import sys

import structlog


def configure() -> None:
    """Set up structlog and the standard library's logging for this process."""
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        # Asked for at each line, so that whoever redirects stderr later gets it.
        logger_factory=_to_stderr,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    # At DEBUG the SDK's HTTP client prints payloads and the key.
    logging.getLogger("python_http_client").setLevel(logging.WARNING)


def _to_stderr(*_names: object) -> structlog.PrintLogger:
    return structlog.PrintLogger(sys.stderr)
