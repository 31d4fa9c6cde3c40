"""The command line. Each command prints what changed and what to do next; `--json` prints one document.

Exit codes: 0 done, 1 refused, 2 usage or a confirmation needed. Rooms are imported inside the
commands, so that `mailer --help` answers at once.
"""

import sys

from mailer.cli import output


def main() -> None:
    """Run the command of `sys.argv`."""
    import click

    from mailer.cli.commands import app
    from subscribers.errors import NewsletterError

    output.as_json = "--json" in sys.argv[1:]
    try:
        code = app(standalone_mode=False)
    except NewsletterError as error:
        output.refuse(error)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.ClickException as usage:
        output.refuse_usage(usage)
        sys.exit(usage.exit_code)
    except (click.Abort, KeyboardInterrupt):
        output.note("Stopped.")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (`| head`) left; nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
