"""A mail client's cascade, as far as our letters use it: style attributes, then `!important` rules.

Enough to say which colour a text has on which ground, in light and in dark, without a browser.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lxml.cssselect import CSSSelector

_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")


@dataclass(frozen=True)
class Painted:
    """A text with its colours; `element` says where."""

    text: str
    colour: str
    ground: str
    element: str


def style_blocks(html: str) -> str:
    return "\n".join(
        re.findall(r"<style[^>]*>(.*?)</style>", re.sub(r"<!--.*?-->", "", html, flags=re.S), re.S)
    )


def dark_rules(html: str) -> list[tuple[str, dict[str, str]]]:
    """The rules of `@media (prefers-color-scheme:dark)`."""
    css = style_blocks(html)
    start = css.index("@media (prefers-color-scheme:dark){") + len("@media (prefers-color-scheme:dark){")
    depth, end = 1, start
    while depth:
        depth += {"{": 1, "}": -1}.get(css[end], 0)
        end += 1
    return _rules(css[start : end - 1])


def outlook_rules(html: str) -> list[tuple[str, dict[str, str]]]:
    """The same rules as Outlook's apps read them, under `[data-ogsc]`, without that prefix."""
    rules = _rules(style_blocks(html))
    return [
        (selectors.replace("[data-ogsc] ", ""), declared)
        for selectors, declared in rules
        if selectors.startswith("[data-ogsc] ")
    ]


def declared_colours(style: str) -> dict[str, str]:
    """Text colour and ground of a list of declarations, as `color` and `background`."""
    found = {}
    for name, value in re.findall(r"([a-z-]+)\s*:\s*([^;]+)", style):
        colour = re.search(r"#[0-9A-Fa-f]{3,6}", value)
        if colour and name in ("color", "background", "background-color"):
            found["color" if name == "color" else "background"] = _long(colour[0])
    return found


def painted(tree: Any, rules: list[tuple[str, dict[str, str]]]) -> Iterator[Painted]:
    """Every visible text with the colours that these rules leave it."""
    over: dict[Any, dict[str, str]] = {}
    for _, selector, declared in sorted(_each(rules), key=lambda rule: rule[0]):
        for element in CSSSelector(selector)(tree):
            over.setdefault(element, {}).update(declared)
    for element in tree.iter():
        if not isinstance(element.tag, str) or _is_hidden(element):
            continue
        texts = [element.text or "", *(child.tail or "" for child in element)]
        text = " ".join(texts).replace("\xa0", " ").strip()
        if text:
            yield Painted(
                text[:40],
                _inherited(element, "color", over),
                _inherited(element, "background", over),
                f"{element.tag}.{element.get('class')}",
            )


def _each(
    rules: list[tuple[str, dict[str, str]]],
) -> Iterator[tuple[tuple[int, int, int], str, dict[str, str]]]:
    for order, (selectors, declared) in enumerate(rules):
        for selector in selectors.split(","):
            elements = len(re.findall(r"(?:^|[\s>])[a-z]", selector.strip()))
            yield (selector.count("."), elements, order), selector.strip(), declared


def _inherited(element: Any, name: str, over: dict[Any, dict[str, str]]) -> str:
    for place in (element, *element.iterancestors()):
        own = declared_colours(place.get("style") or "") | over.get(place, {})
        if name in own:
            return own[name]
    raise AssertionError(f"no {name} above {element.tag}")


def _rules(css: str) -> list[tuple[str, dict[str, str]]]:
    return [(selectors.strip(), declared_colours(body)) for selectors, body in _RULE.findall(css)]


def _is_hidden(element: Any) -> bool:
    chain = (element, *element.iterancestors())
    return any("display:none" in (place.get("style") or "") or place.tag == "head" for place in chain)


def _long(colour: str) -> str:
    return "#" + "".join(2 * digit for digit in colour[1:]) if len(colour) == 4 else colour
