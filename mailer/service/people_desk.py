"""The part of `Mailer` that is about people, lists, segments and topics; a method is a line or two."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mailer.service import composition, erasing, people
from mailer.service.desk import Desk
from subscribers import lists, transfer
from subscribers.transfer import ImportReport as PeopleReport


class PeopleDesk(Desk):
    """People of an open site."""

    def import_people(
        self,
        file: Path,
        *,
        basis: str,
        status: Literal["subscribed", "unsubscribed", "cleaned"] = "subscribed",
        replace_topics: bool = False,
        overwrite_choices: bool = False,
        unknown_topics: Literal["refuse", "ignore"] = "refuse",
        on_progress: transfer.Progress | None = None,
    ) -> PeopleReport:
        """Import people from a CSV file."""
        options = transfer.ImportOptions(
            basis=basis,
            topics=people.topic_names(self.rooms),
            suppression_key=self.rooms.suppression_key,
            status=status,
            replace_topics=replace_topics,
            overwrite_choices=overwrite_choices,
            unknown_topics=unknown_topics,
        )
        try:
            return transfer.import_csv(
                self.database, file, options, now=self.rooms.now(), on_progress=on_progress
            )
        finally:
            self.rooms.bring_leavers()

    def export_people(
        self, file: Path, *, in_list: str | None = None, status: str | None = None, topic: str | None = None
    ) -> int:
        """Write people to a CSV file that imports to the same; how many."""
        return people.export(self.rooms, file, in_list=in_list, status=status, topic=topic)

    def add_person(
        self,
        address: str,
        *,
        basis: str,
        name: str = "",
        topics: Sequence[str] = (),
        lists: Sequence[str] = (),
        timezone: str = "",
        track_consent: bool = False,
    ) -> dict[str, Any]:
        """Add one person; what is kept about them."""
        return people.add(
            self.rooms,
            address,
            basis=basis,
            name=name,
            topics=topics,
            lists=lists,
            timezone=timezone,
            track_consent=track_consent,
        )

    def show_person(self, address: str) -> dict[str, Any]:
        """Everything kept about one person, every letter included."""
        with self.database.reader() as connection:
            return people.show(connection, address)

    def suppress(self, *, address: str | None, file: Path | None, detail: str = "") -> dict[str, Any]:
        """Never mail an address, or those of a file, again."""
        outcome = people.suppress(self.rooms, address=address, file=file, detail=detail)
        self.rooms.bring_leavers()
        return outcome

    def erase_person(self, address: str) -> dict[str, Any]:
        """Forget a person; a keyed hash stays, and for a while perhaps a trace in the database's log."""
        outcome = erasing.erase(self.rooms, address, source=people.SOURCE)
        self.rooms.bring_leavers()
        return outcome

    def finish_erasures(self) -> bool:
        """Take earlier erasures out of the database's log; False while another process reads there."""
        return erasing.empty_log(self.database, wait_ms=erasing.PERSON_WAITS_MS)

    def lists(self) -> list[dict[str, Any]]:
        """All lists with the number of their people."""
        with self.database.reader() as connection:
            return [
                {"list": each.slug, "name": each.name, "members": each.members}
                for each in lists.every(connection)
            ]

    def list_members(self, name: str) -> list[str]:
        """The addresses of a list."""
        with self.database.reader() as connection:
            return [email for _, email in lists.members(connection, lists.get(connection, name).id)]

    def add_to_list(self, name: str, addresses: Sequence[str]) -> dict[str, Any]:
        """Make a list, or put people on it."""
        return people.add_to_list(self.rooms, name, addresses)

    def remove_from_list(self, name: str, addresses: Sequence[str]) -> dict[str, Any]:
        """Take people off a list, or remove it."""
        return people.remove_from_list(self.rooms, name, addresses)

    def add_segment(self, name: str, rule: Path) -> dict[str, Any]:
        """Save a rule under a name."""
        return people.add_segment(self.rooms, name, rule)

    def segments(self) -> list[dict[str, Any]]:
        """All segments in words."""
        return people.list_segments(self.rooms)

    def count_segment(self, name: str) -> dict[str, Any]:
        """How many people a segment picks now."""
        return people.count_segment(self.rooms, name)

    def topics(self) -> list[dict[str, Any]]:
        """Readers and stories of each topic."""
        return people.list_topics(self.rooms, composition.stories_per_topic(self.rooms))

    def topics_to_join(self, old: str, new: str) -> dict[str, int]:
        """How many chose each of two topics that a rename would join for good; nothing when it would not."""
        return people.topics_to_join(self.rooms, old, new)

    def rename_topic(self, old: str, new: str) -> int:
        """Move the choices of one topic to another; how many."""
        return people.rename_topic(self.rooms, old, new)
