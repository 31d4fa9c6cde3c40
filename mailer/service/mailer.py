"""`Mailer`: everything a site can do, under one name. Each method is a line or two of its room."""

import getpass
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Literal, Self

from mailer.delivery.audience import Audience
from mailer.house_models import MarkKind
from mailer.insight.stats import CampaignStats, campaign_stats
from mailer.issues import store
from mailer.issues.report import ImportReport
from mailer.issues.values import Issue
from mailer.sandbox.server import SandboxServer
from mailer.service import (
    account,
    adopting,
    alerts,
    backup,
    composition,
    copying,
    identity,
    live,
    restore,
    scheduling,
    sending,
    site,
    stopping,
)
from mailer.service.backup import Backup
from mailer.service.composition import Composition, PlannedCampaign, Preview
from mailer.service.copying import Copied
from mailer.service.files import read_bytes
from mailer.service.people_desk import PeopleDesk
from mailer.service.rooms import database_errors, open_rooms
from mailer.service.scheduling import When
from mailer.service.site import Finding
from mailer.site import Site
from mailer.tracking import late, verdicts
from mailer.tracking.verdicts import SETTLE_AFTER


class Mailer(PeopleDesk):
    """An open site. Close it, or use it as a context manager."""

    @classmethod
    def open(cls, config: Path | str | None = None, *, any_schema: bool = False) -> Self:
        """Open the site of a config.toml. Raises NewsletterError saying what to mend."""
        return cls(open_rooms(config, any_schema=any_schema))

    @staticmethod
    def init(folder: Path) -> Site:
        """Lay out a complete site in a folder."""
        return site.lay_out(folder)

    def close(self) -> None:
        self.rooms.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def upgrade(self, on_backup: Callable[[Backup], object] | None = None) -> bool:
        """Bring the database up to date, after a backup; False when nothing was to do."""
        return site.upgrade(self.rooms, on_backup)

    def backup(self, file: Path) -> Backup:
        """Write everything into a new file, while the site works."""
        self.rooms.bring_leavers()
        return backup.backup(self.database, file)

    def copy_to(self, url: str) -> Copied:
        """Copy everything into another, empty database; nothing is sent from there until it is adopted."""
        url = copying.address_of(self.settings, url)
        with database_errors(url, "URL"):
            self.rooms.bring_leavers()
            return copying.copy_to(self.database, url)

    def restore(self, file: Path) -> restore.Restored:
        """Put a backup in the database's place; nothing is sent until it is adopted."""
        return restore.restore(self.rooms, file)

    def check(self) -> list[Finding]:
        """Look over the site."""
        return site.look_over(self.rooms)

    def check_account(self) -> list[Finding]:
        """Look at SendGrid's side: key, sender, event webhook, tracking, a round trip."""
        return account.look(self.rooms)

    def live_addresses(self, to: Sequence[str]) -> list[str]:
        """The two addresses of a live check. Raises NewsletterError when one may not be mailed."""
        return [address.email for address in live.addresses(self.rooms, to)]

    def check_live(self, to: Sequence[str]) -> live.SentLive:
        """Send one real call to two addresses; what to look at in their inboxes."""
        return live.send(self.rooms, to)

    def homeless(self) -> str | None:
        """Why nothing is sent from this database in this folder; None when it is at home."""
        with self.database.reader() as connection:
            problem = identity.problem(connection, self.rooms.home)
        return str(problem) if problem is not None else None

    def prepare_adoption(self) -> adopting.Adoption:
        """Know again who left meanwhile, and say what would go from here."""
        return adopting.prepare(self.rooms)

    def adopt(self, *, join: bool = False) -> None:
        """Send from this folder, and no other; beside the others when it joins them."""
        if join:
            adopting.join(self.rooms)
        else:
            adopting.adopt(self.rooms)

    # -- issues -----------------------------------------------------------------------------------

    def import_issue(self, file: Path | str, slug: str | None = None) -> ImportReport:
        """Read an issue from a file and store it; the same bytes change nothing."""
        path = Path(file)
        source = read_bytes(path)
        with self.database.ledger() as connection:
            return store.import_issue(
                connection,
                source,
                file=str(path),
                slug=slug,
                settings=self.settings,
                author=getpass.getuser(),
                now=self.rooms.now(),
            )

    def issue(self, slug: str, revision: int | None = None) -> Issue:
        """An issue at its newest revision, or at that one."""
        with self.database.reader() as connection:
            return store.load_issue(connection, slug, self.settings, revision)

    def issues(self) -> list[dict[str, Any]]:
        """All issues, newest first."""
        marks, planned = scheduling.marks(self.rooms), scheduling.planned_of(self.rooms)
        with self.database.reader() as connection:
            return [
                {
                    "issue": line.slug,
                    "kind": line.kind,
                    "revision": line.revision,
                    "stories": line.stories,
                    "saved": line.at.isoformat(),
                    "is_sent": line.is_sent,
                    "mark": marks.get(line.slug),
                    "planned": planned.get(line.slug),
                }
                for line in store.list_issues(connection)
            ]

    def compose(
        self,
        issue: str | Issue | ImportReport,
        *,
        every: bool = False,
        on_progress: composition.Progress | None = None,
    ) -> Composition:
        """The editions that readers' choices give, or every possible one; nothing is stored."""
        return composition.compose(self.rooms, self._issue(issue), every=every, on_progress=on_progress)

    def preview(self, issue: str | Issue | ImportReport, topics: Sequence[str] | None = None) -> Preview:
        """One edition as a reader of these topics (None: all) would get it; its links open nothing."""
        return composition.preview(self.rooms, self._issue(issue), topics)

    def send_test(
        self,
        issue: str | Issue | ImportReport,
        to: str | Sequence[str],
        topics: Sequence[str] | None = None,
        as_subscriber: str | None = None,
        *,
        every_edition: bool = False,
        on_remark: Callable[[str], None] | None = None,
    ) -> list[dict[str, Any]]:
        """Send a test preview to up to ten addresses; one letter of each edition when `every_edition`."""
        addresses = [to] if isinstance(to, str) else list(to)
        return sending.send_test(
            self.rooms,
            self._issue(issue),
            addresses,
            topics,
            as_subscriber,
            every_edition=every_edition,
            on_remark=on_remark,
        )

    def _issue(self, issue: str | Issue | ImportReport) -> Issue:
        if isinstance(issue, ImportReport):
            return issue.issue
        return self.issue(issue) if isinstance(issue, str) else issue

    # -- campaigns --------------------------------------------------------------------------------

    def sender_warnings(self) -> list[str]:
        """What about the sender should be mended before a real campaign."""
        return sending.sender_warnings(self.rooms)

    def require_ready(self) -> None:
        """Raise when no campaign of this site could start as it is configured."""
        sending.require_ready(self.rooms)

    def plan(
        self,
        issue: str | Issue | ImportReport,
        *,
        lists: Sequence[str] = (),
        segments: Sequence[str] = (),
        exclude_lists: Sequence[str] = (),
        exclude_segments: Sequence[str] = (),
    ) -> PlannedCampaign:
        """Whom a campaign would reach, with which edition, and who gets nothing and why."""
        audience = Audience(tuple(lists), tuple(segments), tuple(exclude_lists), tuple(exclude_segments))
        return composition.plan(self.rooms, self._issue(issue), audience)

    def unfinished_campaign(self, issue: str) -> dict[str, Any] | None:
        """The campaign of an issue that is under way, if there is one."""
        return sending.unfinished(self.rooms, self._issue(issue))

    def require_same_audience(
        self,
        campaign: int,
        *,
        lists: Sequence[str] = (),
        segments: Sequence[str] = (),
        exclude_lists: Sequence[str] = (),
        exclude_segments: Sequence[str] = (),
    ) -> None:
        """Raise when a campaign is for others than these."""
        audience = Audience(tuple(lists), tuple(segments), tuple(exclude_lists), tuple(exclude_segments))
        sending.require_same_audience(self.rooms, campaign, audience)

    def require_under_way(self, campaign: int) -> None:
        """Raise when a campaign waits for its time, or missed it."""
        sending.require_under_way(self.rooms, campaign)

    def require_no_campaign(self, issue: str | Issue | ImportReport) -> None:
        """Raise when an issue has an unfinished campaign."""
        sending.require_no_campaign(self.rooms, self._issue(issue))

    def require_approved(self, issue: str | Issue | ImportReport) -> None:
        """Raise when an approval is required that this issue has not."""
        sending.require_approved(self.rooms, self._issue(issue))

    def ready(self, issue: str | Issue | ImportReport) -> dict[str, Any]:
        """Say that an issue is done."""
        return scheduling.mark(self.rooms, self._issue(issue), MarkKind.READY)

    def approve(self, issue: str | Issue | ImportReport) -> dict[str, Any]:
        """Let an issue go as it is now, with the templates as they are now."""
        return scheduling.mark(self.rooms, self._issue(issue), MarkKind.APPROVED)

    def when(
        self, planned: PlannedCampaign, at: str, zone: str | None = None, *, local: bool = False
    ) -> When:
        """The moment that a civil time means, with what a person should know of it."""
        return scheduling.when(self.rooms, planned, at, zone, is_local=local)

    def schedule_planned(self, planned: PlannedCampaign, when: When) -> int:
        """Have a planned campaign go at its time; its number."""
        return scheduling.plan(self.rooms, planned, when)

    def schedule(
        self,
        issue: str | Issue | ImportReport,
        at: str,
        *,
        zone: str | None = None,
        local: bool = False,
        segment: str | None = None,
        **audience: Sequence[str],
    ) -> int:
        """Have an issue go at a time, "2026-04-10 07:30", to the audience that `plan` takes; its campaign."""
        if segment is not None:
            audience["segments"] = [*audience.get("segments", ()), segment]
        planned = self.plan(issue, **audience)
        return self.schedule_planned(planned, self.when(planned, at, zone, local=local))

    def closed_now(self) -> str | None:
        """Why the hours for sending are over for now; None while they last."""
        return scheduling.closed_now(self.rooms)

    def upcoming(self) -> dict[str, Any]:
        """What goes next, soonest first."""
        return scheduling.upcoming(self.rooms)

    def start(self, planned: PlannedCampaign) -> int:
        """Freeze a planned campaign and begin to send; its number."""
        return sending.start(self.rooms, planned)

    def continue_campaign(self, campaign: int) -> int:
        """Let a campaign that was broken off or paused go on."""
        return sending.go_on(self.rooms, campaign)

    def run_campaign(
        self, campaign: int, on_progress: sending.Progress | None = None, stopped: Event | None = None
    ) -> dict[str, Any]:
        """Work until the campaign is finished, paused or cancelled, or `stopped`; where it stands then."""
        return sending.run(self.rooms, campaign, on_progress, stopped)

    def work(self, stopped: Event | None = None) -> list[dict[str, Any]]:
        """Go on with every campaign until `stopped` is set; without it until nothing is left to do."""
        return sending.work(self.rooms, stopped)

    def sending_threads(self) -> AbstractContextManager[None]:
        """Threads that go on with campaigns for as long as the context lasts."""
        return sending.threads(self.rooms)

    def status(self, campaign: int) -> dict[str, Any]:
        """Where a campaign stands, and what could still be taken back."""
        return stopping.status(self.rooms, campaign)

    def notices(self) -> list[dict[str, Any]]:
        """What needs a person now, then what is over since a day at most."""
        return [notice.as_json() for notice in alerts.notices_of(self.rooms, self.rooms.now())]

    def campaigns(self) -> list[dict[str, Any]]:
        """Every campaign, newest first."""
        return stopping.every_status(self.rooms)

    def pause(self, campaign: int) -> dict[str, Any]:
        """Hand nothing more over."""
        return stopping.pause(self.rooms, campaign)

    def resume(self, campaign: int, *, even_late: bool = False) -> dict[str, Any]:
        """Let a paused campaign go on; `even_late`: one that missed its time too, now."""
        return stopping.resume(self.rooms, campaign, even_late=even_late)

    def is_late(self, campaign: int) -> bool:
        """Whether resuming a campaign sends what is later than `[schedule] latest`."""
        return stopping.is_late(self.rooms, campaign)

    def cancel(self, campaign: int, on_progress: stopping.Progress | None = None) -> dict[str, Any]:
        """End a campaign: what can be taken back is, and the rest stops."""
        return stopping.cancel(self.rooms, campaign, on_progress)

    def evidence(self, campaign: int) -> list[dict[str, Any]]:
        """What is known about the held letters of a campaign; each with a `line` for a person."""
        return sending.evidence(self.rooms, campaign)

    def resolve(self, campaign: int, decision: Literal["sent", "again", "drop"]) -> dict[str, Any]:
        """Decide what becomes of held letters."""
        sending.resolve(self.rooms, campaign, decision)
        return self.status(campaign)

    def stats(self, campaign: int) -> CampaignStats:
        """The numbers of a campaign."""
        with self.database.reader() as connection:
            return campaign_stats(connection, campaign)

    # -- what runs --------------------------------------------------------------------------------

    def settle(self, *, everything: bool = False) -> None:
        """Give hits their verdicts once their window passed; `everything` does not wait for it."""
        now = self.rooms.now() + (SETTLE_AFTER if everything else timedelta())
        verdicts.settle(self.database, now)
        late.link_late(self.database, now)

    def sandbox(self) -> SandboxServer:
        """The sandbox of this site, not yet listening; a context manager."""
        return site.sandbox_of(self.settings)
