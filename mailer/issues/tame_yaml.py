"""A small plain YAML tree as nodes with their places; aliases, tags and depth are refused unseen.

Nothing is built from the nodes here, and nothing large: composing before the events are known to be
tame could take for ever.
"""

from collections.abc import Iterable
from typing import Any

import yaml

# A front matter is a mapping of mappings of lists; anything deeper is an attack or a slip.
MOST_NESTED = 4

Node = Any  # nodes and events; what yaml says of their types is too wide to use

_EXAMPLE = 'For example: subject: "Text with a colon: in quotes"'
_QUOTE_IT = 'Text that begins with such a sign needs quotes: subject: "*new*".'


class Refused(Exception):
    """Text that is no YAML, or none of the plain kind; `index` is the character it shows at."""

    def __init__(self, message: str, index: int, cure: str) -> None:
        super().__init__(message)
        self.message = message
        self.index = index
        self.cure = cure


def compose(text: str) -> Node | None:
    """The root node; None for an empty text. Raises Refused."""
    try:
        _refuse_wild(text)
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"this is no valid YAML: {error.problem or error.context}."
        raise Refused(message, mark.index if mark is not None else 0, _EXAMPLE) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        place = getattr(error, "position", None)
        raise Refused("this is no valid YAML.", place if isinstance(place, int) else 0, _EXAMPLE) from None


def _refuse_wild(text: str) -> None:
    depth = 0
    events: Iterable[Node] = yaml.parse(text, Loader=yaml.SafeLoader)
    for event in events:
        strange = None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            strange = "anchors and aliases (& and *)"
        elif getattr(event, "tag", None):
            strange = "tags (!)"
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_NESTED:
            strange = "lists so deep"
        if strange:
            raise Refused(f"the front matter may not use {strange}.", event.start_mark.index, _QUOTE_IT)
