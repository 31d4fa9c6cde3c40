"""The table of commands: which function answers to which word."""

import typer

from mailer.cli import (
    issues,
    keeping,
    lists,
    people,
    planning,
    results,
    segments,
    send,
    sending,
    site,
    topics,
)

app = typer.Typer(
    help="One weekly issue, one edition per reader; every letter accounted for.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_START, _WRITE, _SEND, _PEOPLE, _KEEP = "Start here", "Write", "Send", "People", "Keep"

app.command(rich_help_panel=_START)(site.demo)
app.command(rich_help_panel=_START)(site.init)
app.command(rich_help_panel=_START)(site.check)
app.command(rich_help_panel=_START)(site.upgrade)
app.command(rich_help_panel=_START)(site.serve)
app.command(rich_help_panel=_KEEP)(keeping.backup)
app.command(rich_help_panel=_KEEP)(keeping.restore)
app.command(rich_help_panel=_KEEP)(keeping.adopt)
app.command("copy-to", rich_help_panel=_KEEP)(keeping.copy_to)
app.command(rich_help_panel=_START)(site.sandbox)
app.command("import", rich_help_panel=_WRITE)(issues.import_issue)
app.command("issues", rich_help_panel=_WRITE)(issues.list_issues)
app.command(rich_help_panel=_WRITE)(issues.compose)
app.command(rich_help_panel=_WRITE)(issues.preview)
app.command("test", rich_help_panel=_WRITE)(issues.send_test)
app.command(rich_help_panel=_SEND)(planning.ready)
app.command(rich_help_panel=_SEND)(planning.approve)
app.command(rich_help_panel=_SEND)(send.send)
app.command(rich_help_panel=_SEND)(planning.schedule)
app.command(rich_help_panel=_SEND)(sending.worker)
app.command(rich_help_panel=_SEND)(sending.campaigns)
app.command(rich_help_panel=_SEND)(sending.status)
app.command(rich_help_panel=_SEND)(sending.pause)
app.command(rich_help_panel=_SEND)(sending.resume)
app.command(rich_help_panel=_SEND)(sending.cancel)
app.command(rich_help_panel=_SEND)(sending.resolve)
app.command(rich_help_panel=_SEND)(results.stats)
app.add_typer(people.app, name="subscribers", rich_help_panel=_PEOPLE)
app.add_typer(lists.app, name="lists", rich_help_panel=_PEOPLE)
app.add_typer(segments.app, name="segments", rich_help_panel=_PEOPLE)
app.add_typer(topics.app, name="topics", rich_help_panel=_PEOPLE)
