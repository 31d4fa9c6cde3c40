"""What each number means: one sentence, the same in the docs, on the page and in the queries.

A number that has no sentence here is not shown. docs/numbers.md carries these very sentences; a test
compares them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """`name` as in `mailer stats --json`, `label` as on the page."""

    name: str
    label: str
    sentence: str


_ALL = (
    Definition(
        "sent",
        "Handed to SendGrid",
        "Emails that SendGrid accepted from us; not those refused, withheld or in doubt.",
    ),
    Definition(
        "measurable",
        "Measurable",
        "Emails handed to SendGrid for readers who had agreed to be measured when the email was made:"
        " the base of every rate of opens and clicks.",
    ),
    Definition(
        "delivered",
        "Delivered",
        "Emails handed to SendGrid that the reader's mail server took; one that bounced later is no "
        "longer among them.",
    ),
    Definition(
        "bounced",
        "Bounced",
        "Emails handed to SendGrid that the reader's mail server gave back.",
    ),
    Definition(
        "complained",
        "Complaints",
        "Emails handed to SendGrid that the reader reported as spam.",
    ),
    Definition(
        "unsubscribed",
        "Left",
        "Readers who unsubscribed through an email of this campaign, each once.",
    ),
    Definition(
        "opened.human",
        "Opened by people",
        "Measurable readers of whom a person loaded the images or clicked a link, each once; whoever "
        "clicked has opened, with images or without.",
    ),
    Definition(
        "opened.machine",
        "Opened by machines only",
        "Measurable readers whose images were loaded by machines and by nobody else, as far as can be told.",
    ),
    Definition(
        "opened.unknown",
        "Unclear opens",
        "Measurable readers whose images were loaded by something that may or may not have been a "
        "person, such as an image proxy.",
    ),
    Definition(
        "clicked.human",
        "Clicked by people",
        "Measurable readers of whom a person clicked at least one link, each once.",
    ),
    Definition(
        "clicked.machine",
        "Clicked by machines only",
        "Measurable readers whose links were asked for by machines, such as a scanning mail gateway, "
        "and by nobody else.",
    ),
    Definition(
        "clicked.unknown",
        "Unclear clicks",
        "Measurable readers whose links were asked for by something that may or may not have been a person.",
    ),
    Definition(
        "anonymous.opens",
        "Anonymous opens",
        "Image loads of emails to readers who are not measured: a total of loads, repeated and "
        "automatic ones included, never of people.",
    ),
    Definition(
        "anonymous.clicks",
        "Anonymous clicks",
        "Link requests from emails to readers who are not measured: a total of requests, repeated and"
        " automatic ones included, never of people.",
    ),
    Definition(
        "editions",
        "Versions",
        "The numbers above for the readers of each version of the issue.",
    ),
    Definition(
        "topics.reached",
        "Reached (topic)",
        "Emails handed to SendGrid with at least one story of the topic.",
    ),
    Definition(
        "topics.clicked",
        "Clicked (topic)",
        "Measurable readers of whom a person clicked a link of at least one story of the topic, each once.",
    ),
    Definition(
        "stories.reached",
        "Reached (story)",
        "Emails handed to SendGrid that contain the story.",
    ),
    Definition(
        "stories.clicked",
        "Clicked (story)",
        "Measurable readers of whom a person clicked a link of the story, in its place or among the "
        "references, each once.",
    ),
    Definition(
        "links.clicked",
        "Clicked (link)",
        "Measurable readers who clicked the link, each once by their best verdict: person, unclear, machine.",
    ),
    Definition(
        "links.anonymous",
        "Anonymous clicks (link)",
        "Requests for the link from emails to readers who are not measured.",
    ),
)

DEFINITIONS = {definition.name: definition for definition in _ALL}


def sentence(name: str) -> str:
    """The meaning of a number; for tooltips."""
    return DEFINITIONS[name].sentence


def as_markdown() -> str:
    """The table of docs/numbers.md."""
    rows = [f"| `{each.name}` | {each.label} | {each.sentence} |" for each in _ALL]
    return "\n".join(["| `--json` | on the page | means |", "|---|---|---|", *rows])
