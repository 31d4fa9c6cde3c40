"""The demo: a site, a sandbox, three hundred readers, one issue, seven editions, numbers.

Nothing in it is special: the site is what `init` lays out, the letters leave through the sendgrid SDK,
the readers are the sandbox's, and the events come back over HTTP, signed. The variables of a real site
are passed over: example readers belong in no other database than the demo's own.
"""

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mailer import site
from mailer.cli import output, results, sending
from mailer.demo.people import ExampleReaders, write_example_readers
from mailer.sandbox import readers
from mailer.service import Mailer
from mailer.serving import stopped_by_signals, web_of
from subscribers.errors import NewsletterError

ISSUE = "week-04"
BASIS = "example readers of the demo"
SEED = 7
# The readers of the sandbox act within this time; a demo that hangs is worse than a thin one.
PLAY_SECONDS = 30.0


def play(folder: Path | None, *, stay: bool, as_json: bool) -> None:
    """Play it all, print what happened, and serve until Ctrl-C when `stay`.

    Raises NewsletterError when no letter left or nothing came back.
    """
    if passed_over := site.variables():
        output.warn(f"the demo makes a site of its own and passes over {', '.join(passed_over)}.")
    with site.without_variables(), _folder(folder) as place:
        mailer = new_site(place)
        try:
            with mailer.sandbox() as sandbox, web_of(mailer) as web:
                told = tell(mailer, sandbox)
                require_a_whole_way(told)
                if as_json:
                    output.emit(told)
                if stay:
                    _stay(place, sandbox.url, web.admin_url, told["stats"]["campaign"], web.url)
        finally:
            mailer.close()


def require_a_whole_way(told: dict[str, Any]) -> None:
    """A demo without letters or without events showed nothing, whatever it printed."""
    if told["status"]["accepted"] and told["stats"]["delivered"]:
        return
    missing = "no event came back" if told["status"]["accepted"] else "no letter was handed over"
    raise NewsletterError(
        f"the demo did not come to its end: {missing}.",
        cure="A firewall or proxy may stand between two ports of this machine.",
    )


@contextlib.contextmanager
def _folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        if (folder / "config.toml").exists():
            raise NewsletterError(
                f"'{folder}' holds a site already; the demo makes a new one.",
                file=str(folder),
                cure="Name a folder that does not exist yet.",
            )
        yield folder
        return
    place = Path(tempfile.mkdtemp(prefix="newsletter-demo-"))
    try:
        yield place
    finally:
        shutil.rmtree(place)


def new_site(folder: Path) -> Mailer:
    """A site as `init` lays it out, on free ports."""
    Mailer.init(folder)
    web, admin, sandbox = free_ports(3)
    site.set_keys(
        folder / "config.toml",
        {
            ("web", "port"): web,
            ("web", "admin_port"): admin,
            ("web", "base_url"): f"http://127.0.0.1:{web}",
            ("sandbox", "port"): sandbox,
            ("sendgrid", "host"): f"http://127.0.0.1:{sandbox}",
        },
    )
    return Mailer.open(folder / "config.toml")


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def tell(mailer: Mailer, sandbox: Any) -> dict[str, Any]:
    """The story itself, each part shown as it is done."""
    with _working("Importing the issue and 300 readers"):
        report = mailer.import_issue(mailer.settings.path(f"examples/{ISSUE}.md"))
        _import_readers(mailer, write_example_readers(mailer.settings.root, list(mailer.settings.topics)))
        composition = mailer.compose(ISSUE)
    output.say(
        f"[bold]1. One issue[/] · {len(report.as_json()['stories'])} stories, "
        f"{len(mailer.settings.topics)} topics, {len(composition.editions)} different letters:"
    )
    output.table(
        ("Version", "Stories", "Subject", "Readers"),
        [
            (edition.label, " ".join(map(str, edition.stories)), edition.subject, f"{edition.audience:,}")
            for edition in composition.editions
        ],
        right=(3,),
    )
    output.say("\n[bold]2. Handed to SendGrid[/] (the one on this desk, through its SDK):")
    campaign = mailer.start(mailer.plan(ISSUE))
    ledger = sending.run_with_progress(mailer, campaign)
    sending.show_ledger(ledger)
    with _working(
        "Readers read, click, leave; a mail gateway scans; events come back twice and out of order"
    ):
        played = readers.play(sandbox, seed=SEED, deadline=PLAY_SECONDS)
        mailer.settle(everything=True)
    stats = mailer.stats(campaign)
    output.say("\n[bold]3. What came back[/]")
    results.show(stats)
    return {
        "import": report.as_json(),
        "compose": composition.as_json(),
        "status": mailer.status(campaign),
        "stats": stats.as_json(),
        "played": {"fates": played.fates, "hits": played.counts(), "scanned": len(played.scanned)},
    }


def _import_readers(mailer: Mailer, readers: ExampleReaders) -> None:
    mailer.import_people(readers.active, basis=BASIS)
    mailer.import_people(readers.leavers, basis=BASIS, status="unsubscribed")
    for address in readers.suppressed:
        mailer.suppress(address=address, file=None, detail="example of the demo")


@contextlib.contextmanager
def _working(what: str) -> Iterator[None]:
    console = output.console()
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description} …"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        progress.add_task(what)
        yield


def _stay(folder: Path, mailbox: str, results_url: str, campaign: int, readers: str) -> None:
    output.say("\n[bold]Look around[/] (Ctrl-C ends it):")
    output.say(f"  Mailbox: every letter as its reader got it   [bold]{mailbox}[/]")
    output.say(f"  Results                                      [bold]{results_url}/campaigns/{campaign}[/]")
    output.say(f"  The archive that readers see                 [bold]{readers}/archive[/]")
    output.say(f"  The site                                     {output.plain(folder)}")
    with stopped_by_signals() as stopped:
        stopped.wait()
    output.say("Bye.")
