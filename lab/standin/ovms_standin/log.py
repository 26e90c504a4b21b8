"""Log lines in OVMS's shape, on standard output: [date time][thread][module][level][file:line] text."""

from __future__ import annotations

import logging
import sys
import threading
from datetime import datetime
from pathlib import Path

TRACE = 5
LEVELS = {
    "TRACE": TRACE,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
}


class _Format(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        level = logging.getLevelName(record.levelno).lower()
        return (
            f"[{when}.{int(record.msecs):03d}][{threading.get_native_id()}][{record.name}][{level}]"
            f"[{record.filename}:{record.lineno}] {record.getMessage()}"
        )


def set_up(level: str, path: Path | None) -> None:
    """Log to standard output, and to ``path`` if given, from ``level`` (an OVMS name) on."""
    logging.addLevelName(TRACE, "TRACE")
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if path is not None:
        handlers.append(logging.FileHandler(path))
    for handler in handlers:
        handler.setFormatter(_Format())
    for name in ("serving", "modelmanager", "llm_executor", "llm_calculator"):
        logger = logging.getLogger(name)
        logger.handlers = handlers
        logger.propagate = False
        logger.setLevel(LEVELS[level])
