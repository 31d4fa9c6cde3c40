"""What marketing asks of the people's tables: one function for each command."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from mailer.delivery import letters_of
from mailer.service.files import read_bytes
from mailer.service.rooms import Rooms
from subscribers import lists, roster, segments, suppression, topics, transfer
from subscribers.addresses import parse_address
from subscribers.choices import ALL_TOPICS, NO_TOPICS
from subscribers.errors import NewsletterError, NotFound, Problem
from subscribers.models import SuppressionReason
from subscribers.segment_rules import LeafRegistry, nearest_or_all

# Of the command line; a web page names its own.
SOURCE = "command line"


def topic_names(rooms: Rooms) -> dict[str, str]:
    """Declared slugs and what readers call them."""
    return {slug: topic.name for slug, topic in rooms.settings.topics.items()}


def show(connection: Connection, address: str) -> dict[str, Any]:
    """One person with every letter."""
    row = roster.require(connection, address)
    return roster.show(connection, row.id, {"letters": letters_of.show})


def add(
    rooms: Rooms,
    address: str,
    *,
    basis: str,
    name: str,
    topics: Sequence[str],
    lists: Sequence[str],
    timezone: str,
    track_consent: bool,
) -> dict[str, Any]:
    """Add one person by hand and show them."""
    if not basis.strip():
        raise NewsletterError(
            "the basis is empty.", field="basis", cure="Say why you may write to this person."
        )
    wanted = chosen(rooms, topics)
    person = roster.NewPerson(
        address=parse_address(address),
        basis=basis,
        name=name,
        topics=None if wanted is None else tuple(sorted(wanted)),
        lists=tuple(lists),
        timezone=timezone,
        track_consent=track_consent,
    )
    with rooms.database.ledger() as connection:
        roster.add(connection, person, suppression_key=rooms.suppression_key, source=SOURCE, now=rooms.now())
    with rooms.database.reader() as connection:
        return show(connection, address)


def chosen(rooms: Rooms, topics: Sequence[str] | None) -> frozenset[str] | None:
    """The choice that these topics are; None: every topic, which "all" says as well as silence.

    As in a file of people, "none" is a choice too.
    """
    if not topics or ALL_TOPICS in map(str.casefold, topics):
        return None
    return frozenset(declared(rooms, [topic for topic in topics if topic.casefold() != NO_TOPICS]))


def declared(rooms: Rooms, wanted: Sequence[str]) -> list[str]:
    """Slugs of topics given by slug or name. Raises NewsletterError naming those there are."""
    names = topic_names(rooms)
    by_name = {name.casefold(): slug for slug, name in names.items()} | {slug: slug for slug in names}
    unknown = [topic for topic in wanted if topic.casefold() not in by_name]
    if unknown:
        raise NewsletterError(
            f"topic '{unknown[0]}' is not declared.",
            field="topics",
            cure=f"Declared in config.toml: {', '.join(names) or 'none'}.",
        )
    return list(dict.fromkeys(by_name[topic.casefold()] for topic in wanted))


def known_topic(rooms: Rooms, connection: Connection, wanted: str) -> str:
    """The slug of a topic that is declared, or was: chosen once, or named by a segment. Raises NotFound."""
    names = topic_names(rooms)
    known = {*names, *topics.bits(connection), *topics.undeclared(connection, names)}
    known |= segments.topics_named(connection)
    by_name = {name.casefold(): slug for slug, name in names.items()} | {
        slug.casefold(): slug for slug in known
    }
    slug = by_name.get(wanted.strip().casefold())
    if slug is None:
        cure = nearest_or_all(wanted, sorted(known))
        raise NotFound(f"there is no topic '{wanted}'.", field="topic", cure=cure)
    return slug


def export(rooms: Rooms, file: Path, *, in_list: str | None, status: str | None, topic: str | None) -> int:
    """Write people to a file; how many."""
    if topic is not None:
        with rooms.database.reader() as connection:
            topic = known_topic(rooms, connection, topic)
    options = transfer.ExportOptions(status=status, in_list=in_list, topic=topic)
    return transfer.export_csv(rooms.database, file, options)


def suppress(rooms: Rooms, *, address: str | None, file: Path | None, detail: str) -> dict[str, Any]:
    """Never mail one address, or those of a file, again."""
    if file is not None:
        report = transfer.suppress_file(
            rooms.database,
            file,
            secret=rooms.suppression_key,
            detail=detail,
            source=SOURCE,
            now=rooms.now(),
        )
        return report.as_json()
    parsed = parse_address(address or "")
    with rooms.database.ledger() as connection:
        suppression.suppress(
            connection,
            key_hash=suppression.key_hash(parsed.key, rooms.suppression_key),
            reason=SuppressionReason.MANUAL,
            detail=detail,
            source=SOURCE,
            now=rooms.now(),
        )
    return {"suppressed": 1, "refused": []}


def add_to_list(rooms: Rooms, name: str, addresses: Sequence[str]) -> dict[str, Any]:
    """Make a list when it is missing, and put people on it."""
    with rooms.database.ledger() as connection:
        ids = _require_all(connection, addresses)
        slug = lists.create(connection, name, now=rooms.now())
        found = lists.get(connection, slug)
        added = lists.add_members(connection, found.id, ids, now=rooms.now())
        return {"list": slug, "added": added, "members": lists.get(connection, slug).members}


def remove_from_list(rooms: Rooms, name: str, addresses: Sequence[str]) -> dict[str, Any]:
    """Take people off a list; without addresses remove the list itself."""
    with rooms.database.ledger() as connection:
        found = lists.get(connection, name)
        if not addresses:
            return {"list": found.slug, "removed": lists.remove(connection, found.id)}
        ids = _require_all(connection, addresses)
        return {"list": found.slug, "removed": lists.remove_members(connection, found.id, ids)}


def _require_all(connection: Connection, addresses: Sequence[str]) -> list[int]:
    """The ids of people by their addresses. Raises NotFound naming every address that nobody has."""
    ids: list[int] = []
    problems: list[Problem] = []
    for address in addresses:
        try:
            ids.append(roster.require(connection, address).id)
        except NewsletterError as error:
            problems.append(Problem(f"'{address}': {error.message}", field="address", cure=error.cure))
    if problems:
        raise NotFound.of(problems)
    return ids


def add_segment(rooms: Rooms, name: str, rule: Path) -> dict[str, Any]:
    """Save a rule from a file, once it has been counted; its words and how many it picks now."""
    source = read_bytes(rule)
    with rooms.database.reader() as connection:
        leaves = rooms.leaves(connection, is_new=True)
        parsed = segments.parse_rule(source, leaves, file=str(rule))
        try:
            segments.count(connection, parsed, leaves, rooms.now())
        except OperationalError:
            raise NewsletterError(
                "the rule is too large for the database.", file=str(rule), cure="Split it into two segments."
            ) from None
    with rooms.database.ledger() as connection:
        leaves = rooms.leaves(connection)
        saved = segments.save(connection, name, source, leaves, now=rooms.now(), file=str(rule))
    return count_segment(rooms, saved.slug)


def count_segment(rooms: Rooms, name: str) -> dict[str, Any]:
    """A saved segment in words, and how many people it picks now."""
    with rooms.database.reader() as connection:
        leaves = rooms.leaves(connection)
        saved = segments.find(connection, name)
        rule = segments.load(connection, saved.slug, leaves)
        return {
            "segment": saved.slug,
            "words": segments.in_words(rule),
            "count": segments.count(connection, rule, leaves, rooms.now()),
        }


def list_segments(rooms: Rooms) -> list[dict[str, Any]]:
    """Every segment in words; one whose rule no longer fits says why."""
    with rooms.database.reader() as connection:
        leaves = rooms.leaves(connection)
        return [
            {"segment": saved.slug, "name": saved.name, "words": _words(saved.rule, leaves)}
            for saved in segments.list_all(connection)
        ]


def _words(rule: Mapping[str, Any], leaves: LeafRegistry) -> str:
    try:
        return segments.in_words(segments.parse_rule(rule, leaves))
    except NewsletterError as error:
        return f"(broken: {error.message})"


def list_topics(rooms: Rooms, stories: Mapping[str, int]) -> list[dict[str, Any]]:
    """Readers and stories of each topic, the declared ones first."""
    names = topic_names(rooms)
    with rooms.database.reader() as connection:
        readers = topics.readers_per_topic(connection, names)
    slugs = [*names, *sorted(set(readers) - set(names))]
    return [
        {
            "topic": slug,
            "name": names.get(slug),
            "readers": readers.get(slug, 0),
            "stories": stories.get(slug, 0),
        }
        for slug in slugs
    ]


def topics_to_join(rooms: Rooms, old: str, new: str) -> dict[str, int]:
    """How many chose each of two topics, when a rename would join them for good; else nothing."""
    old_slug, new_slug = _rename(rooms, old, new)
    with rooms.database.reader() as connection:
        choices = topics.choices(connection, [old_slug, new_slug])
    return choices if len(choices) == 2 else {}


def _rename(rooms: Rooms, old: str, new: str) -> tuple[str, str]:
    (new_slug,) = declared(rooms, [new])
    with rooms.database.reader() as connection:
        return known_topic(rooms, connection, old), new_slug


def rename_topic(rooms: Rooms, old: str, new: str) -> int:
    """Move choices and segment rules of a topic to a declared one, each given by slug or name."""
    old_slug, new_slug = _rename(rooms, old, new)
    moved = topics.rename_topic(rooms.database, old_slug, new_slug)
    with rooms.database.ledger() as connection:
        segments.rename_topic(connection, old_slug, new_slug)
    return moved
