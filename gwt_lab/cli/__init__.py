"""The command `gwt`: one module a stage, one clear line on stderr for a user's mistake."""

from __future__ import annotations

import os
import sys

from gwt_lab.errors import GwtLabError

__all__ = ["main"]


def main() -> None:
    """Run the command line; the exit code is 0 only for success."""
    try:
        from gwt_lab.cli.app import app

        app(standalone_mode=True)
    except GwtLabError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted; nothing half-written was kept", 130)
    except SystemExit as end:
        # typer turns an interrupt into this exit without a word
        if end.code == 130:
            _fail("interrupted; nothing half-written was kept", 130)
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError:
        _fail("out of memory: ask for fewer symbols, bars or combinations", 1)
    except OSError as error:
        _fail(_os_error(error), 1)


def _os_error(error: OSError) -> str:
    where = f" '{error.filename}'" if error.filename else ""
    return f"cannot use{where or ' a file'}: {error.strerror or error}"


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"gwt: {message}\n")
    sys.exit(code)
