"""Commands of a site: demo, init, check, upgrade, serve, sandbox."""

import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailer.cli import output
from mailer.cli.options import ConfigOption, JsonOption, YesOption, confirm, opened

if TYPE_CHECKING:
    from mailer.service import Mailer

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Keep the site here. Default: a temporary folder.", metavar="DIR"),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Stay and serve mailbox and results.")
    ] = True,
    json: JsonOption = False,
) -> None:
    """Watch one issue become seven letters, leave, come back and end as numbers."""
    from mailer.demo.play import play

    play(folder, stay=serve, as_json=json)


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new site.", metavar="DIR")],
    json: JsonOption = False,
) -> None:
    """Lay out a site: config.toml, secrets.toml, templates, examples, an empty database."""
    from mailer.service import Mailer
    from mailer.site import variables

    site = Mailer.init(folder)
    if obeyed := variables():
        output.warn(
            "the site has a configuration and a database of its own; "
            f"commands obey {', '.join(obeyed)} before them."
        )
    if json:
        output.emit({"site": str(site.folder), "written": list(site.written)})
        return
    output.say(f"A site in [bold]{output.plain(folder)}[/]: {output.plain(', '.join(site.written))}")
    output.say("Next:")
    output.say(f"  [bold]cd {output.plain(shlex.quote(str(folder)))}[/]")
    output.say("  [bold]mailer sandbox[/]   (a SendGrid on your desk; in a terminal of its own)")
    output.say("  [bold]mailer import examples/week-04.md[/]")


def check(
    sendgrid: Annotated[
        bool, typer.Option("--sendgrid", help="Ask SendGrid too: key, sender, webhook, a round trip.")
    ] = False,
    live: Annotated[
        tuple[str, str] | None,
        typer.Option("--live", help="Send a real letter to two addresses of yours.", metavar="ADDR ADDR"),
    ] = None,
    yes: YesOption = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Look over the site: configuration, schema, database, sender, topics, alerts; and SendGrid's side."""
    with opened(config) as mailer:
        if live is not None:
            _check_live(mailer, live, yes=yes, json=json)
            return
        findings = mailer.check()
        if sendgrid:
            findings += mailer.check_account()
        if json:
            output.emit({"findings": [finding.as_json() for finding in findings]})
        else:
            for finding in findings:
                stop = "." if finding.cure and not finding.said.endswith((".", "!", "?")) else ""
                said = output.plain(f"{finding.said}{stop} {finding.cure or ''}".rstrip())
                output.say(f"[{COLOURS[finding.level]}]{finding.level:<8}[/]{said}")
        if any(finding.level == "error" for finding in findings):
            raise typer.Exit(1)


def _check_live(mailer: "Mailer", to: tuple[str, str], *, yes: bool, json: bool) -> None:
    first, second = mailer.live_addresses(to)
    mailer.require_ready()
    host = mailer.settings.sendgrid.host
    output.say_only_to(mailer.settings.sending.only_to)
    confirm(f"Send one real letter each to {first} and {second}, by {host}?", yes=yes)
    sent = mailer.check_live(to)
    if json:
        output.emit(sent.as_json())
        return
    output.say(f"Handed to SendGrid as {output.plain(sent.message_id)}. Look at both letters:")
    for number, line in enumerate(sent.look_at, 1):
        output.say(f"{number:>3}  {output.plain(line)}")


def upgrade(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Create or migrate the database, after a backup; on a current one do nothing."""
    from mailer.service import Mailer

    backups: list[Any] = []
    mailer = Mailer.open(config, any_schema=True)
    try:
        changed = mailer.upgrade(on_backup=backups.append)
        version = mailer.database.schema_version()
    finally:
        mailer.close()
    if json:
        backup = backups[0].file if backups else None
        output.emit({"changed": changed, "schema": version, "backup": backup})
    else:
        for made in backups:
            output.say(f"A backup from before is kept: {output.plain(made.file)}")
        output.say(f"The database is {'now' if changed else 'already'} at schema {version}.")


def serve(config: ConfigOption = None) -> None:
    """Serve readers' pages, take events in, and go on with campaigns, until stopped."""
    from mailer.serving import serve as run

    with opened(config, is_server=True) as mailer:
        output.warn_of_some(mailer.sender_warnings(), "mailer check")
        output.warn_if(mailer.homeless())
        web = mailer.settings.web
        output.say_only_to(mailer.settings.sending.only_to)
        output.say(f"Readers: [bold]{output.plain(web.base_url)}[/] on {web.host}:{web.port}")
        output.say(f"Results: [bold]http://127.0.0.1:{web.admin_port}[/] (this machine only)")
        run(mailer)


def sandbox(config: ConfigOption = None) -> None:
    """Run a SendGrid on your desk: takes letters, shows them, posts events back; until stopped."""
    from mailer.config import load_settings
    from mailer.service import sandbox_of

    server = sandbox_of(load_settings(config))
    output.say(f"Mailbox: [bold]{output.plain(server.url)}[/]")
    # A shell starts background jobs deaf to Ctrl-C; `kill` must end it as gently.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    server.serve_forever()
