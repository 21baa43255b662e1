"""Every exception that threadserve raises, in one tree.

Raised on any thread. An instance carries one line for a person to read and never holds a connection or a loop.
"""


class ThreadserveError(Exception):
    """Something that stops the server. `str()` is one clear line; `exit_code` is the process's exit code.

    With `is_logged`, the log has the error already, in Uvicorn's words.
    """

    exit_code = 1
    is_logged = False


class ConfigError(ThreadserveError):
    """A setting has a value that it cannot have.

    `option` is the setting's Python name (`limit_concurrency`), `problem` says what is wrong with its value.
    """

    exit_code = 2

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option
        self.problem = problem


class AppLoadError(ThreadserveError):
    """The application cannot be found or imported, or is not what its interface needs. The exit code is Uvicorn's."""

    exit_code = 3


class AppImportFailed(AppLoadError):
    """The application's own code raised while it was imported or built; `__cause__` is its exception.

    The only start-up error whose traceback is shown, for the mistake is in the application. The exit code is Python's.
    """

    exit_code = 1


class AppNotRepeatable(AppLoadError):
    """The application cannot be loaded once more, for another thread.

    `complaint` and `remedy` are the two halves of the line; `__cause__` is the exception that was raised.
    """

    def __init__(self, complaint: str, remedy: str) -> None:
        super().__init__(f"{complaint}. {remedy}")
        self.complaint = complaint
        self.remedy = remedy


class BindError(ThreadserveError):
    """A listening socket cannot be opened: the address is in use, unknown, or not permitted. The code is Uvicorn's."""

    exit_code = 3


class StartupFailed(ThreadserveError):
    """The application or a loop thread could not start. The exit code is Uvicorn's."""

    exit_code = 3


class LifespanFailed(StartupFailed):
    """An application's lifespan start-up failed."""

    is_logged = True


class WorkerFailed(ThreadserveError):
    """The worker processes could not start. The line and the exit code are those of the first that failed."""

    exit_code = 3

    def __init__(self, line: str, exit_code: int) -> None:
        super().__init__(line)
        self.exit_code = exit_code


class TooManyThreadDeaths(ThreadserveError):
    """Loop threads died again and again within a minute."""

    exit_code = 4


class ThreadsStuck(ThreadserveError):
    """Every thread that calls a WSGI application hangs: only a new process helps."""

    exit_code = 5


class LoopsStalled(ThreadserveError):
    """All loops have been blocked for as long as `timeout_loop_exit` allows: only a new process helps."""

    exit_code = 6


class ClientDisconnected(OSError):
    """`send` was called after the client had gone (ASGI HTTP spec 2.4, "Disconnected Client")."""


class ParserError(Exception):
    """A parser refuses bytes that the grammar has accepted."""


class MailboxClosed(Exception):
    """The loop thread takes no more messages; the rejected one stays with its sender."""
