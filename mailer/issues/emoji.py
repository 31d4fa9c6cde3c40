"""Where the emoji in front of a line ends: keycaps, flags, skin tones and joined ones included."""

import regex

# One grapheme that a person calls an emoji. Digits, #, *, (c), (r) and TM are emoji to Unicode only
# with U+FE0F or a keycap behind them.
_EMOJI = regex.compile(
    r"(?:(?:\p{Regional_Indicator}{2}"
    r"|[0-9#*]\uFE0F?\u20E3"
    r"|[\p{Emoji}--[0-9#*]]\uFE0F"
    r"|[\p{Extended_Pictographic}--[\u00A9\u00AE\u2122\u203C\u2049\u3030]]"
    r"|\p{Emoji_Presentation}"
    r")[\p{Emoji_Modifier}\uFE0E\uFE0F\u20E3\U000E0020-\U000E007F]*"
    r"(?:\u200D\p{Extended_Pictographic}[\p{Emoji_Modifier}\uFE0E\uFE0F]*)*)",
    regex.VERSION1,
)
_RUN = regex.compile(rf"{_EMOJI.pattern}(?:\s*{_EMOJI.pattern})*", regex.VERSION1)


def split_emoji(text: str) -> tuple[str, str, str]:
    """(emoji, space, rest) of a line; emoji is empty when it begins with none."""
    match = _RUN.match(text)
    if match is None:
        return "", "", text
    rest = text[match.end() :]
    body = rest.lstrip()
    return match.group(), rest[: len(rest) - len(body)], body
