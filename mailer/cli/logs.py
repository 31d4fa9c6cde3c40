"""Where log lines go: stderr, as text or one JSON object a line. Never stdout.

Ours and those of uvicorn, alembic and APScheduler take the same way. What may stand in a line is decided
where it is logged; what looks like an address, a token or a key all the same is masked here.
"""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from mailer.cli.masks import masked
from mailer.config_tables import LogsTable

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
OURS = ("mailer", "subscribers")
# Of others only what is wrong: at DEBUG some print payloads, keys and the values of statements.
OTHERS_FROM = logging.WARNING


def configure() -> None:
    """Set up structlog and the standard library's logging for a command: text, and warnings only."""
    _set_up(format_="text", level=logging.WARNING)


def follow(table: LogsTable, *, is_server: bool) -> None:
    """Log as `[logs]` says. A command that a person waits for says what is wrong and no more."""
    level = LEVELS[table.level]
    _set_up(format_=table.format, level=level if is_server else max(level, logging.WARNING))


def mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask every text of a line, however deep it stands."""
    return {name: _mask(value) for name, value in event.items()}


def _mask(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {masked(str(name)): _mask(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_mask(each) for each in value]
    return masked(value if isinstance(value, str) else repr(value))


def _set_up(*, format_: str, level: int) -> None:
    renderer: Processor = structlog.processors.JSONRenderer()
    if format_ == "text":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    at_once: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    at_last: list[Processor] = [structlog.processors.format_exc_info, mask, renderer]
    structlog.configure(
        processors=[*at_once, *at_last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Asked for at each line, so that whoever redirects stderr later gets it.
        logger_factory=_to_stderr,
        cache_logger_on_first_use=False,
    )
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*at_once, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *at_last],
        )
    )
    root = logging.getLogger()
    for before in [each for each in root.handlers if isinstance(each, _Stderr)]:
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(max(level, OTHERS_FROM))
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    # Paths of requests hold tokens.
    logging.getLogger("uvicorn.access").disabled = True


class _Stderr(logging.Handler):
    """Writes to whatever stderr is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - the library's own way: a line that fails breaks nothing
            self.handleError(record)


def _to_stderr(*_names: object) -> structlog.PrintLogger:
    return structlog.PrintLogger(sys.stderr)
