"""The conditions of a rule that read the people's own tables.

Made for one connection and one moment: names of topics and lists are checked against what exists.
Every condition here is true or false of everybody; what is known of some readers only (who opened,
who clicked) is the mailer's and lives upstairs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, false, func, literal, or_, select

from subscribers import attributes
from subscribers.models import SubscriberStatus
from subscribers.nearest import did_you_mean
from subscribers.segment_rules import (
    Leaf,
    LeafRegistry,
    Moment,
    Phrase,
    Refused,
    declared_value,
    json_kind,
    keyed_value,
    nearest_or_all,
    number_value,
    text_value,
    true_or_false,
)
from subscribers.tables import list_member, mailing_list, subscriber, topic
from subscribers.zones import every_zone

# A hundred years: beyond it a date calculation would leave the calendar.
MAX_DAYS = 36_525
MAX_CHOICES = 500  # values of one list argument


def own_leaves(connection: Connection, topics: Mapping[str, str], *, is_new: bool = False) -> LeafRegistry:
    """The conditions on people; `topics` maps declared slugs to their names.

    A rule that `is_new` names attributes that somebody has: those of a saved one may have gone since.
    """
    bits = {row.slug: row.bit for row in connection.execute(select(topic))}
    lists = {row.slug: (row.id, row.name) for row in connection.execute(select(mailing_list))}
    return registry(
        [
            _topic(topics, bits),
            _all_topics(),
            _list(lists),
            _attribute(cache(partial(attributes.names, connection)) if is_new else None),
            _status(),
            _zone(),
            _joined_since(),
            _joined_within_days(),
        ]
    )


def registry(leaves: Iterable[Leaf]) -> LeafRegistry:
    """Leaves by name; two of one name are a mistake of ours."""
    named: dict[str, Leaf] = {}
    for leaf in leaves:
        assert leaf.name not in named, leaf.name
        named[leaf.name] = leaf
    return named


def days_value(value: Any, what: str, at: str = "") -> int:
    return number_value(value, what, low=1, high=MAX_DAYS, at=at)


def first_day(days: int, now: datetime) -> date:
    """The first day of the last `days` days, UTC; today is the last of them."""
    return now.astimezone(UTC).date() - timedelta(days=days)


def _topic(topics: Mapping[str, str], bits: Mapping[str, int]) -> Leaf:
    def condition(slug: str, _moment: Moment) -> ColumnElement[bool]:
        everything: ColumnElement[bool] = subscriber.c.all_topics.is_(True)
        if slug not in bits:  # declared, and nobody has chosen it yet
            return everything
        return or_(everything, subscriber.c.topic_mask.op("&")(1 << bits[slug]) != 0)

    return Leaf(
        name="topic",
        example="car-t",
        meaning="gets this topic: chose it, or gets all topics",
        read=lambda value: declared_value(value, topics, "a topic", "a declared topic"),
        condition=condition,
        words=lambda slug: Phrase(f"get the topic {topics[slug]}", f"do not get the topic {topics[slug]}"),
        is_wide=True,
    )


def _all_topics() -> Leaf:
    return Leaf(
        name="all_topics",
        example=True,
        meaning="gets everything (`true`), or chose some topics (`false`)",
        read=lambda value: true_or_false(value, "'all_topics'"),
        condition=lambda wanted, _moment: subscriber.c.all_topics.is_(wanted),
        words=lambda wanted: _either(wanted, Phrase("get all topics", "chose some topics only")),
        is_wide=True,
    )


def _list(lists: Mapping[str, tuple[int, str]]) -> Leaf:
    names = {slug: name for slug, (_, name) in lists.items()}

    def condition(slug: str, _moment: Moment) -> ColumnElement[bool]:
        on_it = select(literal(1)).where(
            list_member.c.list_id == lists[slug][0], list_member.c.subscriber_id == subscriber.c.id
        )
        return on_it.exists()

    return Leaf(
        name="list",
        example="internal",
        meaning="is on this list",
        read=lambda value: declared_value(value, names, "a list", "a list"),
        condition=condition,
        words=lambda slug: Phrase(f"are on the list “{names[slug]}”", f"are not on the list “{names[slug]}”"),
        is_wide=True,
        holders=lambda slug: select(list_member.c.subscriber_id).where(
            list_member.c.list_id == lists[slug][0]
        ),
    )


def _attribute(names: Callable[[], Sequence[str]] | None) -> Leaf:
    tests = ("is", "is_one_of", "contains")

    def read(value: Any) -> tuple[str, str, tuple[str, ...]]:
        keyed = keyed_value(value, "'attribute'", required=("name",), optional=tests)
        name = text_value(keyed["name"], "the name of an attribute", ".name")
        if names is not None and name not in names():
            raise Refused(f"no reader has '{name}'.", nearest_or_all(name, names()), at=".name")
        given = [test for test in tests if test in keyed]
        if len(given) != 1:
            raise Refused(f"'attribute' needs a name and one of {', '.join(tests)}.")
        test = given[0]
        if test == "is_one_of":
            return name, test, tuple(_texts(keyed[test], "'is_one_of'", ".is_one_of"))
        return name, test, (text_value(keyed[test], f"'{test}'", f".{test}"),)

    def holders(argument: tuple[str, str, tuple[str, ...]]) -> Select[Any]:
        name, test, wanted = argument
        if test == "contains":
            return attributes.holders_of_part(name, wanted[0])
        return attributes.holders(name, wanted)

    def words(argument: tuple[str, str, tuple[str, ...]]) -> Phrase:
        name, test, wanted = argument
        yes, no = ("contains", "does not contain") if test == "contains" else ("is", "is not")
        said = _or(wanted)
        return Phrase(f"have a “{name}” that {yes} {said}", f"have no “{name}” or one that {no} {said}")

    return Leaf(
        name="attribute",
        example={"name": "country", "is": "FR"},
        meaning="has this value in a column of the imported file: `is` one, `is_one_of` several (letter case "
        "counts), or `contains` a part (letter case does not count)",
        read=read,
        # A reader without the attribute has another value, not an unknown one: `not` picks them.
        condition=lambda argument, _moment: subscriber.c.id.in_(holders(argument)),
        words=words,
        holders=holders,
    )


def _status() -> Leaf:
    known = {status.value: status.value for status in SubscriberStatus}
    return Leaf(
        name="status",
        example="pending",
        meaning="is pending, active or unsubscribed; a rule that names a status looks at everybody, "
        "any other at those who may be mailed",
        read=lambda value: declared_value(value, known, "a status", "a status"),
        condition=lambda status, _moment: subscriber.c.status == status,
        words=lambda status: Phrase(f"are {status}", f"are not {status}"),
    )


def _zone() -> Leaf:
    zones = set(every_zone().values())
    areas = {zone.split("/")[0] for zone in zones if "/" in zone}

    def read(value: Any) -> tuple[str, ...]:
        names = _texts(value, "'zone'", "") if isinstance(value, list) else [text_value(value, "'zone'")]
        for name in names:
            if name not in zones and name not in areas:
                raise Refused(
                    f"'{name}' is no time zone and no area of zones.",
                    # A guess, or nothing: the list of all zones helps nobody.
                    did_you_mean(name, sorted(zones | areas)).rstrip() or None,
                )
        return tuple(names)

    def condition(names: tuple[str, ...], _moment: Moment) -> ColumnElement[bool]:
        zone = func.coalesce(subscriber.c.timezone, "")
        in_area = [zone.startswith(f"{name}/", autoescape=True) for name in names if name in areas]
        holds = or_(zone.in_(names), *in_area)
        # In a function, so that an "any" of such conditions is not one flat OR deeper than SQLite goes.
        return func.coalesce(holds, false()) if in_area else holds

    def words(names: tuple[str, ...]) -> Phrase:
        said = _or(names, quoted=False)
        return Phrase(f"live in the time zone {said}", f"do not live in the time zone {said}")

    return Leaf(
        name="zone",
        example="Europe/Paris",
        meaning="has this time zone; also a whole area (`Europe`) or a list of them",
        read=read,
        condition=condition,
        words=words,
    )


def _joined_since() -> Leaf:
    def read(value: Any) -> date:
        text = text_value(value, "a date")
        try:
            return date.fromisoformat(text) if len(text) == len("2026-01-31") else _no_date(text)
        except ValueError:
            return _no_date(text)

    def condition(day: date, _moment: Moment) -> ColumnElement[bool]:
        return _joined(datetime(day.year, day.month, day.day, tzinfo=UTC))

    return Leaf(
        name="joined_since",
        example="2026-01-01",
        meaning="joined on this day (UTC) or later",
        read=read,
        condition=condition,
        words=lambda day: Phrase(f"joined on {day} or later", f"joined before {day}"),
    )


def _joined_within_days() -> Leaf:
    def condition(days: int, moment: Moment) -> ColumnElement[bool]:
        return _joined(moment.now - timedelta(days=days))

    return Leaf(
        name="joined_within_days",
        example=30,
        meaning="joined within this many days",
        read=lambda value: days_value(value, "'joined_within_days'"),
        condition=condition,
        words=lambda days: Phrase(f"joined within {_days(days)}", f"joined more than {_days(days)} ago"),
    )


def _joined(since: datetime) -> ColumnElement[bool]:
    later: ColumnElement[bool] = subscriber.c.created_at >= since
    return later


def _no_date(text: str) -> date:
    raise Refused(f"'{text}' is no date like 2026-01-31.")


def _texts(value: Any, what: str, at: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise Refused(
            f"{what} is a list of texts, not {'an empty one' if value == [] else json_kind(value)}.", at=at
        )
    if len(value) > MAX_CHOICES:
        raise Refused(f"{what} has more than {MAX_CHOICES} values.", at=at)
    texts = [text_value(item, f"each of {what}", f"{at}[{index}]") for index, item in enumerate(value)]
    return list(dict.fromkeys(texts))


def _either(wanted: bool, phrase: Phrase) -> Phrase:
    return phrase if wanted else Phrase(phrase.no, phrase.yes)


def _or(values: Sequence[str], *, quoted: bool = True) -> str:
    shown = [f"“{value}”" if quoted else value for value in values]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _days(days: int) -> str:
    return "a day" if days == 1 else f"{days} days"
