"""Letters made of hand-made issues, and ways to read them back as a mail client would."""

from typing import Any

from lxml import html as lxml_html

from mailer.config import Settings
from mailer.editions.compose import compose, whole
from mailer.editions.content import EditionContent
from mailer.editions.render import RenderedEdition, render_preview
from mailer.editions.select import select
from mailer.issues.document import FrontMatter
from mailer.issues.values import Issue
from tests.editions.makers import call, entry, issue, point, site, story, week

NEWSLETTER = {
    "name": "Hematology Weekly",
    "tagline": "One edition per reader",
    "postal_address": "Example Research, 1 Example Street, London",
    "imprint_url": "https://www.example.com/imprint",
    "privacy_url": "https://www.example.com/privacy",
}
LINKS = {
    "targets": {"Dive deeper": "https://www.example.com/more", "Talk to us": "https://www.example.com/talk"}
}

# What an editor or a reader's name may contain, and what must arrive as it is.
ATTACKS = (
    "<script>alert(1)</script>",
    "{{ 7*7 }} {% raw %} {# x #}",
    "</mj-text></mj-column><mj-section>",
    "[[delivery]] [[preview0:t]] xhold00001x",
    "-name- %unsubscribe% ${x}",
    "a backslash \\ and \"double\" and 'single' quotes",
    "&amp; &lt;b&gt; & <b>",
    "--> <!--[if mso]> ]]>",
    "U+FE0F 🛡️ Sjögren’s ≤2 µg/mL",
)


def shop(**tables: Any) -> Settings:
    """The settings of a complete newsletter; `newsletter` is laid over ours."""
    newsletter = NEWSLETTER | tables.pop("newsletter", {})
    return site(newsletter=newsletter, links=tables.pop("links", LINKS), **tables)


def rich_week(**parts: Any) -> Issue:
    """Eight stories with everything that a letter can show."""
    stories = tuple(
        story(
            number,
            f"Platelets behave themselves, report number {number}",
            emoji="🩸",
            region="EU",
            date_text=f"{number} Mar 2026",
            key_point=f"Nine of ten people in cohort {number} needed no rescue.",
            context=f"Cohort {number} was followed for two years at six hospitals of one region.",
            implication="Fewer visits, and one more argument for asking people what suits them.",
        )
        for number in range(1, 9)
    )
    given: dict[str, Any] = {
        "stories": stories,
        "front_matter": FrontMatter(subject="Platelets behave, and six more", preheader="Two years of quiet"),
        "intro": ("Eight things that happened to blood this week.",),
        "dive_deeper": ("Dive deeper",),
        "why_it_matters": (point("Quiet platelets free beds.", 1), point("Beds free people.", 3)),
        "calls_to_action": (call(1, "Unsure? Talk to us"), call(2, "A line that leads nowhere")),
        "faq": (
            entry(1, "What is a rescue?", 1, answer=("A transfusion.", "Or a second one.")),
            entry(2, "Who paid?", 3),
        ),
        "keywords": ("platelets", "cohort 3", "rescue"),
    }
    return week(**{**given, **parts})


def content_of(issue: Issue, settings: Settings, *topics: str) -> EditionContent:
    """The edition of somebody with these topics; without any, the whole issue."""
    if not topics:
        return whole(issue, settings)
    selection = select(issue, frozenset(topics), settings)
    assert selection is not None
    return compose(issue, selection, settings)


def letter(*topics: str, settings: Settings | None = None, **parts: Any) -> RenderedEdition:
    settings = settings or shop()
    return render_preview(content_of(rich_week(**parts), settings, *topics), settings)


def one_story(settings: Settings, **parts: Any) -> EditionContent:
    """An issue of one story with these parts."""
    return content_of(issue([story(1, **parts)], {1: ["car-t"]}), settings)


def parsed(rendered: RenderedEdition) -> Any:
    """The HTML as a tree, as lxml reads it from UTF-8 bytes."""
    return lxml_html.document_fromstring(
        rendered.html.encode(), parser=lxml_html.HTMLParser(encoding="utf-8")
    )


def flat(text: str) -> str:
    """The words of a text with one blank between them."""
    return " ".join(text.split())


def hrefs(tree: Any) -> list[str]:
    """Every address a reader can follow; anchors within the letter left out."""
    return [href for href in tree.xpath("//a/@href") if not href.startswith("#")]
