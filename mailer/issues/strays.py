"""Lines of an intro that are a story's: its title lacks its marks, or is nothing but marks.

Read as intro they would open every edition, an address and a label among them; so they have no place.
"""

from collections.abc import Sequence

from mailer.issues import urls
from mailer.issues.classify import Row
from mailer.issues.emoji import split_emoji
from mailer.issues.headings import Part, Vocabulary, strip_bullet
from mailer.issues.stories import read_title, title_parts

_PROSE_ENDS = tuple(".!?:,;。！？：…؟")


def strays_before_stories(rows: Sequence[Row], words: Vocabulary) -> frozenset[int]:
    """Numbers of the lines of the intro that are no prose: addresses alone, known labels, mere marks.

    The line right above them is their title when it has an emoji, or ends like no sentence and a label
    follows.
    """
    found: set[int] = set()
    above: Row | None = None  # the prose right above the run of strays
    for row in rows:
        if row.part is not Part.INTRO or row.heading is not None or not row.core:
            above = None
            continue
        is_label = words.label(row.core) is not None
        if not (is_label or _is_no_prose(row.core)):
            above = row
            continue
        found.add(row.number)
        if above is not None and (_has_emoji(above) or (is_label and not above.core.endswith(_PROSE_ENDS))):
            found.add(above.number)
    return frozenset(found)


def _has_emoji(row: Row) -> bool:
    return bool(split_emoji(row.core)[0])


def _is_no_prose(core: str) -> bool:
    if urls.is_list(split_emoji(strip_bullet(core))[2]):
        return True
    marks = read_title(core)
    return marks is not None and not title_parts(core, marks).title
