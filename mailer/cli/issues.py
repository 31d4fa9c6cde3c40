"""Commands of the editors: import, look, preview, test."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mailer.cli import output
from mailer.cli.options import ConfigOption, JsonOption, comma_list, opened
from subscribers.errors import NewsletterError

if TYPE_CHECKING:
    from mailer.service import Mailer
    from mailer.service.composition import Composition

# Most warnings are the same in every edition: a few names do.
LABELS_SHOWN = 3

IssueArgument = Annotated[
    str, typer.Argument(help="Slug of the issue; see 'mailer issues'.", metavar="ISSUE")
]
TopicsOption = Annotated[
    str | None, typer.Option("--topics", help="Topics of the reader, as a,b. Default: all.", metavar="A,B")
]


def import_issue(
    file: Annotated[Path, typer.Argument(help="The issue as editors paste it.", metavar="FILE")],
    slug: Annotated[
        str | None, typer.Option(help="Name of the issue. Default: front matter, else the file's.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Read an issue from a file and store it as a revision."""
    with opened(config) as mailer:
        report = mailer.import_issue(file, slug=slug)
        document = report.as_json()
        _warn_of_older_plan(mailer, document)
        if json:
            output.emit(document)
            return
        name, stories = output.plain(document["issue"]), document["stories"]
        state = f"revision {document['revision']}" + ("" if report.is_changed else ", unchanged")
        output.say(f"[bold]{name}[/] · {state} · {len(stories)} stories")
        names = {slug: topic.name for slug, topic in mailer.settings.topics.items()}
        output.table(
            ("", "Story", "Topics"),
            [
                (
                    story["number"],
                    story["title"],
                    _topics_in_words(story["topics"], story["suggested"], names),
                )
                for story in stories
            ],
            right=(0,),
        )
        _say_remarks(document, file)
        output.say(f"Next: [bold]mailer compose {name}[/]")


def _warn_of_older_plan(mailer: "Mailer", document: dict[str, Any]) -> None:
    """A planned campaign keeps the revision it was planned with."""
    planned = next(row["planned"] for row in mailer.issues() if row["issue"] == document["issue"])
    if planned is not None and planned["revision"] != document["revision"]:
        output.warn(
            f"campaign {planned['campaign']}, planned for {planned['due']['civil']}, goes with revision "
            f"{planned['revision']}; 'mailer approve {document['issue']}' lets it go with this one."
        )


def _topics_in_words(topics: list[str], suggested: bool, names: dict[str, str]) -> str:
    if not topics:
        return "undecided: goes to everyone" if suggested else "everyone"
    said = ", ".join(names.get(topic, topic) for topic in topics)
    return f"{said} (suggested)" if suggested else said


def _say_remarks(report: dict[str, Any], file: Path) -> None:
    for warning in report["warnings"]:
        line = f":{warning['line']}" if warning["line"] else ""
        output.warn(f"{file}{line}: {warning['message']}")
    for unplaced in report["unplaced"]:
        output.warn(f"{file}:{unplaced['line']}: no place for this line: {unplaced['text']}")


def list_issues(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the issues, newest first."""
    with opened(config) as mailer:
        rows = mailer.issues()
        if json:
            output.emit({"issues": rows})
            return
        if not rows:
            output.say("No issue yet. Next: [bold]mailer import examples/week-04.md[/]")
            return
        output.table(
            ("Issue", "Kind", "Revision", "Stories", "Saved", "Sent", "Mark"),
            [
                (
                    row["issue"],
                    row["kind"],
                    row["revision"],
                    row["stories"],
                    row["saved"][:16],
                    "sent" if row["is_sent"] else "–",
                    row["mark"] or "–",
                )
                for row in rows
            ],
            right=(2, 3),
        )
        for row in rows:
            if row["planned"] is not None:
                output.say(_planned(row))


def _planned(row: dict[str, Any]) -> str:
    """When it goes, and with which revision: a newer draft stays out."""
    planned = row["planned"]
    with_revision = f"with revision {planned['revision']}"
    newer = (
        f"; {row['revision']} is newer and no part of it" if planned["revision"] != row["revision"] else ""
    )
    said = f"{row['issue']} is planned for {planned['due']['civil']} {with_revision}{newer}"
    return output.plain(f"{said} (campaign {planned['campaign']}, {planned['status']})")


def compose(
    issue: IssueArgument,
    every: Annotated[
        bool, typer.Option("--all", help="Every possible selection of up to 6 topics, whoever reads.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show the editions that readers' choices give; nothing is stored."""
    with opened(config) as mailer:
        with output.counted("Composing") as on_progress:
            composition = mailer.compose(issue, every=every, on_progress=on_progress)
        if composition.remark:
            output.warn(composition.remark)
        if json:
            output.emit(composition.as_json())
            return
        output.table(
            ("Edition", "Stories", "Subject", "Size", "Readers"),
            [
                (
                    edition.label,
                    " ".join(str(number) for number in edition.stories),
                    edition.subject,
                    f"{edition.html_bytes / 1000:.1f} kB",
                    f"{edition.audience:,}",
                )
                for edition in composition.editions
            ],
            right=(3, 4),
        )
        _say_warnings(composition)
        for reason, count in composition.skipped.items():
            output.say(f"{count:,} get nothing: {output.plain(reason)}")
        output.say(f"Next: [bold]mailer preview {output.plain(issue)} --out preview[/]")


def _say_warnings(composition: "Composition") -> None:
    """Each warning once, with the editions that it is about."""
    labels: dict[str, list[str]] = {}
    for edition in composition.editions:
        for warning in edition.warnings:
            labels.setdefault(warning, []).append(edition.label)
    for warning, of in labels.items():
        more = f" and {len(of) - LABELS_SHOWN:,} more" if len(of) > LABELS_SHOWN else ""
        output.warn(f"{', '.join(of[:LABELS_SHOWN])}{more}: {warning}")


def preview(
    issue: IssueArgument,
    topics: TopicsOption = None,
    out: Annotated[Path, typer.Option(help="Folder to write to; made when missing.", metavar="DIR")] = Path(
        "preview"
    ),
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write one edition as edition.html, edition.txt and edition.mjml; its links open nothing."""
    with opened(config) as mailer:
        shown = mailer.preview(issue, topics=comma_list(topics) or None)
        try:
            out.mkdir(parents=True, exist_ok=True)
            files = {
                "html": out / "edition.html",
                "text": out / "edition.txt",
                "mjml": out / "edition.mjml",
            }
            files["html"].write_bytes(shown.html.encode())
            files["text"].write_bytes(shown.text.encode())
            files["mjml"].write_bytes(shown.mjml.encode())
        except OSError as error:
            raise NewsletterError(
                f"cannot write the preview: {error.strerror}.",
                file=str(out),
                cure="Name another folder with --out.",
            ) from None
        if json:
            output.emit({**shown.as_json(), "files": {kind: str(path) for kind, path in files.items()}})
            return
        output.say(f"[bold]{output.plain(shown.subject)}[/] · {output.plain(shown.label)}")
        for path in files.values():
            output.say(f"  {output.plain(path)}")


def send_test(
    issue: IssueArgument,
    to: Annotated[list[str], typer.Option(help="Address of an editor; up to ten.", metavar="ADDR")],
    topics: TopicsOption = None,
    as_subscriber: Annotated[
        str | None, typer.Option("--as", help="As this subscriber would get it.", metavar="SUBSCRIBER")
    ] = None,
    every_edition: Annotated[
        bool, typer.Option("--every-edition", help="One letter of each edition.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Send a test preview through the same way as a campaign; nothing is counted."""
    if sum((topics is not None, as_subscriber is not None, every_edition)) > 1:
        raise typer.BadParameter("--topics, --as and --every-edition exclude each other.")
    with opened(config) as mailer:
        sent = mailer.send_test(
            issue,
            to=to,
            topics=comma_list(topics) or None,
            as_subscriber=as_subscriber,
            every_edition=every_edition,
            on_remark=output.warn,
        )
        if json:
            output.emit({"issue": issue, "letters": sent})
            return
        for letter in sent:
            output.say(f"Sent to {letter['recipients']}: [bold]{output.plain(letter['subject'])}[/]")
