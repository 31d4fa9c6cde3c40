"""Addresses among the words of an issue: which lines are meant as one, and where one begins and ends."""

import re

from mailer.urls import fault_of

# A line that begins like this is meant as a URL, good or bad: `word:` or `www.`, then no space.
_MEANT = re.compile(r"(?:[^\W\d_][\w+.\-]*:|www\.)\S", re.IGNORECASE)
# Found anywhere in a text, whatever stands around it.
_IN_TEXT = re.compile(r"(?:https?://|(?<![\w.@/])www\.)\S+", re.IGNORECASE)
_CLOSING = ".,;:!?'\"”’»>*_"
_BRACKETS = {")": "(", "]": "["}
# Between an address and the words behind it; a mere space may also be a fault of the address.
_PARTED = re.compile(r"\s*[,;:|(·•]|\s+[-–—]\s")
_LIST_MARK = re.compile(r"[-–—•*·,;|]|\[\d{1,3}\]|\d{1,3}[.)]")
# Behind an address in a text stand a few at most: "(see https://example.com/?)."
MOST_CLOSING_SIGNS = 8


def is_meant_as_url(text: str) -> bool:
    """Whether a line under a story title is meant as a URL."""
    return _MEANT.match(text) is not None


def is_list(text: str) -> bool:
    """Whether a text is addresses and nothing else, but for numbers, bullets or commas between them."""
    words = text.split()
    are_urls = [_IN_TEXT.match(word) is not None for word in words]
    return any(are_urls) and all(
        is_url or _LIST_MARK.fullmatch(word) for word, is_url in zip(words, are_urls, strict=True)
    )


def spans(text: str) -> list[tuple[int, int]]:
    """Where the addresses in a running text begin and end, stops and brackets behind them left out."""
    found = []
    for match in _IN_TEXT.finditer(text):
        url = match[0]
        for _ in range(MOST_CLOSING_SIGNS):
            if url[-1] in _CLOSING or _is_unopened(url):
                url = url[:-1]
        found.append((match.start(), match.start() + len(url)))
    return found


def span_among_words(text: str) -> tuple[int, int] | None:
    """Where the one good address among words stands; None when there is none, or more than one.

    None also when the text is an address and nothing else, or may be one with a space in it.
    """
    found = spans(text)
    if len(found) != 1 or fault_of(text[slice(*found[0])]) is not None:
        return None
    start, end = found[0]
    if start == 0:
        return found[0] if _PARTED.match(text, end) else None
    return None if is_meant_as_url(text) and not text[start - 1].isspace() else (start, end)


def _is_unopened(url: str) -> bool:
    opening = _BRACKETS.get(url[-1])
    return opening is not None and url.count(opening) < url.count(url[-1])
