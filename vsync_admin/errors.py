"""The one exception of the command line, and the exit codes of every sub-command."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a `vsync` process returns to the shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_CONNECTION = 3
    FINDINGS = 4
    INTERRUPTED = 130


class CommandError(Exception):
    """A command could not do its work; printed as a message with an optional detail and hint."""

    def __init__(self, message: str, *, detail: str = "", hint: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.code = code
