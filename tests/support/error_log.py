"""What was logged as an error. A test that does not claim such a record fails."""

import logging
import threading

from support.waiting import DEADLINE


class ErrorLog(logging.Handler):
    """Collects the records at error level and above of every logger."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.unclaimed: list[logging.LogRecord] = []
        self.changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        """Called by whichever thread logs."""
        with self.changed:
            self.unclaimed.append(record)
            self.changed.notify_all()

    def expect(self, error: type[BaseException] | None = None, text: str = "") -> logging.LogRecord:
        """Waits for a record that has a traceback of `error`, and `text` in its or its error's message; claims it."""

        def match() -> logging.LogRecord | None:
            return next((record for record in self.unclaimed if fits(record, error, text)), None)

        with self.changed:
            record = self.changed.wait_for(match, DEADLINE)
            if not record:
                raise AssertionError(f"no error {error} with {text!r} was logged; what was: {self.describe()}")
            self.unclaimed.remove(record)
        return record

    def claim_all(self) -> None:
        """For a test in which it is open whether, or how often, an error is logged."""
        with self.changed:
            self.unclaimed.clear()

    def describe(self) -> list[str]:
        """The records that nobody claimed, with their tracebacks."""
        formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
        return [formatter.format(record) for record in self.unclaimed]

    def check(self) -> None:
        """Raises AssertionError if there is a record that nobody claimed, and forgets it."""
        described = self.describe()
        self.claim_all()
        if described:
            raise AssertionError("\n".join(["errors were logged:", *described]))


def fits(record: logging.LogRecord, error: type[BaseException] | None, text: str) -> bool:
    """Whether a record carries such an error and such a text."""
    raised = record.exc_info[1] if record.exc_info else None
    if error is not None and not isinstance(raised, error):
        return False
    return text in record.getMessage() or text in str(raised)
