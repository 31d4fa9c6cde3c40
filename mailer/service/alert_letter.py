"""The letter that calls a person: what happened and what to do, in the house's style, for one address.

It is no campaign's: it counts nowhere, has no link that is followed, and no reader's address stands in it.
"""

from collections.abc import Sequence

import orjson

from mailer.config import Settings
from mailer.delivery import preflight
from mailer.delivery.body import TRACKING_OFF
from mailer.delivery.transport import Call
from mailer.editions.render import render_single
from mailer.insight.notices import Notice

SUBJECT_MAX_CHARACTERS = 120


def call_of(told: Sequence[Notice], settings: Settings) -> Call:
    """A letter about some notices to `[alerts] email`. Raises NewsletterError for a fault in a template."""
    html, text = render_single("alert", settings, notices=told, headline=headline(told))
    sender = preflight.sender_of(settings)
    body = {
        "from": sender["from"],
        "subject": f"[{settings.newsletter.name}] {headline(told)}",
        "content": [{"type": "text/plain", "value": text}, {"type": "text/html", "value": html}],
        "tracking_settings": TRACKING_OFF,
        "personalizations": [{"to": [{"email": settings.alerts.email}]}],
    }
    return Call(body, orjson.dumps(body), 1)


def headline(told: Sequence[Notice]) -> str:
    """What it is about, short enough for a subject."""
    if len(told) > 1:
        return f"{len(told)} things need you"
    # A pause reason goes on with its cure; the first sentence says what happened.
    first = told[0].said.split(". ")[0].rstrip(".")
    if len(first) > SUBJECT_MAX_CHARACTERS:
        return first[: SUBJECT_MAX_CHARACTERS - 1].rstrip() + "…"
    return first
