"""One log format for every daemon: a line a record, the level's letter first, as klog readers expect.

`I1121 05:50:02.123456 agent runtime.workers] pod started pod=default/web-1`
"""

from __future__ import annotations

import logging
import sys
import time

_LETTERS = {
    logging.DEBUG: "D",
    logging.INFO: "I",
    logging.WARNING: "W",
    logging.ERROR: "E",
    logging.CRITICAL: "F",
}
# Characters of a message, and of what is told of an exception: others' servers and objects may have a say in both.
_LONGEST_MESSAGE, _LONGEST_EXCEPTION = 8192, 32768


def _bounded(text: str, most: int) -> str:
    """A text, or its beginning and its end: which of the two says more is not known."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-(most // 2) :]}"


class _LineFormatter(logging.Formatter):
    def __init__(self, component: str) -> None:
        super().__init__()
        self._component = component

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        micros = int(record.created % 1 * 1_000_000)
        letter = _LETTERS.get(record.levelno, "I")
        line = f"{letter}{clock}.{micros:06d} {self._component} {record.name}] "
        line += _bounded(record.getMessage(), _LONGEST_MESSAGE)
        if record.exc_info:
            line += "\n" + _bounded(self.formatException(record.exc_info), _LONGEST_EXCEPTION)
        return line


def setup(component: str, level: str = "info") -> None:
    """Send every log record of this process to stderr.

    `component` names the daemon in each line; `level` is one of debug, info, warning, error.
    Raises ValueError for another level.
    """
    number = logging.getLevelName(level.upper())
    if not isinstance(number, int):
        raise ValueError(f"log level {level!r} is unknown: use debug, info, warning or error")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter(component))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    # These libraries report at info what our own lines already say.
    for noisy in ("asyncio", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(max(number, logging.WARNING))
