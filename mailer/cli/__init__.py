"""The command line. Each command prints what changed and what to do next; `--json` prints one document.

Exit codes: 0 done, 1 refused, 2 usage or a confirmation needed. Rooms are imported inside the
commands, so that `mailer --help` answers at once.
"""

import sys

from mailer.cli import output

EXIT_USAGE = 2
EXIT_STOPPED = 130  # as a shell says of a command that Ctrl-C ended


def main() -> None:
    """Run the command of `sys.argv`."""
    import typer
    from typer.exceptions import TyperException

    from mailer.cli import logs
    from mailer.cli.commands import app
    from subscribers.errors import NewsletterError

    output.as_json = "--json" in sys.argv[1:]
    logs.configure()
    try:
        code = app(standalone_mode=False)
    except NewsletterError as error:
        output.refuse(error)
        sys.exit(error.exit_code)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except TyperException as usage:
        output.refuse_usage(usage)
        sys.exit(EXIT_USAGE)
    except (typer.Abort, KeyboardInterrupt):
        output.note("Stopped.")
        sys.exit(EXIT_STOPPED)
    except BrokenPipeError:
        # The reader of our output (`| head`) left; nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
