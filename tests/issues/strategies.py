"""Issues for hypothesis: any text in any part, typed in any of the ways that editors type."""

from dataclasses import dataclass

from hypothesis import strategies as st

# Letters of several scripts, and the signs that templates, mail and YAML are attacked with.
WORDS = st.sampled_from(
    [
        *("CAR-T", "myeloma", "résumé", "<script>", "{{ 7*7 }}", "{% x %}", "</mj-text>", "[[delivery]]"),
        *(
            "-name-",
            "a\\b",
            '"quoted"',
            "it’s",
            "שלום",
            "مرحبا",
            "中文",
            "𝒳",
            "½",
            "[sic]",
            "&amp;",
            "%s",
            "$1",
        ),
        *("50%", "e=mc²", "x·y", "one", "two", "three", "(n=12)", "≥5%", "#1", "@home", "~", "`code`"),
    ]
)
TEXT = st.lists(WORDS, min_size=1, max_size=6).map(lambda words: "w " + " ".join(words) + " z")
EMOJI = st.sampled_from(["", "🧬", "🛡️", "1️⃣", "🇺🇸", "👩‍⚕️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👍🏽", "ℹ️", "❤️‍🔥"])
URL = st.from_regex(r"https?://[a-z]{1,8}\.example\.(com|org)/[a-z0-9/_.?&=%-]{0,20}", fullmatch=True)
ENDINGS = st.sampled_from(["\n", "\r\n", "\r"])
DATES = st.sampled_from(["21 Jan 2026", "2026-01-21", "January 21, 2026", "21.01.2026", "21 janvier 2026"])
PLACES = st.builds(
    lambda region, joint, when: f"[{region}{joint}{when}]",
    st.sampled_from(["US", "EU", "UK", "South Korea", "US/EU"]),
    st.sampled_from([" • ", " · ", " | ", " - ", "•"]),
    DATES,
)


@dataclass(frozen=True)
class Typed:
    """An issue as lines; how they are joined is drawn apart."""

    lines: tuple[str, ...]


@st.composite
def story_lines(draw: st.DrawFn, number: int) -> list[str]:
    emoji = draw(EMOJI)
    cited = draw(st.sampled_from([f" [{number}]", f" [{number}][1]", f" [{number}, 1]"]))
    place = draw(st.one_of(st.just(""), PLACES.map(lambda text: " " + text)))
    lines = [f"{emoji + ' ' if emoji else ''}{draw(TEXT)}{cited}{place}"]
    lines += draw(st.lists(URL, max_size=2))
    for label in ("Context", "Key point", "Implication"):
        style = draw(st.sampled_from(["{}: {}", "**{}:** {}", "- {}: {}", "{}：{}", ""]))
        if style:
            lines.append(style.format(label, draw(TEXT)))
    return lines


@st.composite
def issues(draw: st.DrawFn) -> Typed:
    """Complete issues: every part may be there or not, but for the stories."""
    count = draw(st.integers(1, 4))
    lines = draw(st.lists(TEXT, max_size=2))
    lines += draw(
        st.sampled_from([[], ["In Today’s Newsletter"], ["## In Today's Newsletter", "Dive deeper"]])
    )
    for number in range(1, count + 1):
        lines += draw(story_lines(number))
        lines += draw(st.sampled_from([[], [""], ["   "]]))
    if draw(st.booleans()):
        bullet = draw(st.sampled_from(["- ", "• ", "* ", ""]))
        lines.append(draw(st.sampled_from(["Why it matters", "WHY IT MATTERS:", "## Why it matters"])))
        cited = st.sampled_from(["", " [1]", f" [{count}]"])
        lines += [bullet + draw(TEXT) + draw(cited) for _ in range(draw(st.integers(1, 3)))]
    lines += [f"🚀 {text}" for text in draw(st.lists(TEXT, max_size=2))]
    if draw(st.booleans()):
        lines.append(draw(st.sampled_from(["FAQ", "faq:", "**FAQ**"])))
        for _ in range(draw(st.integers(1, 2))):
            lines.append(draw(TEXT) + "?" + draw(st.sampled_from(["", " [1]", f" [1][{count}]"])))
            lines += draw(st.lists(TEXT, min_size=1, max_size=2))
    if draw(st.booleans()):
        lines.append("Entities / Keywords")
        keywords = draw(st.lists(TEXT, min_size=1, max_size=4))
        lines.append("; ".join(keywords) + draw(st.sampled_from(["", "."])))
    if draw(st.booleans()):
        lines.append("References")
        bullet = draw(st.sampled_from(["- ", "", "* "]))
        lines += [bullet + draw(URL) for _ in range(count)]
    return Typed(tuple(draw(front_matters(count)) + lines))


@st.composite
def front_matters(draw: st.DrawFn, count: int) -> list[str]:
    if not draw(st.booleans()):
        return []
    lines = ["---"]
    if draw(st.booleans()):
        lines.append('subject: "What: moved"   # the editor\'s')
    if draw(st.booleans()):
        lines += ["topics:", f"  {count}: [car-t, myeloma]", "", "  # decided", "  1: everyone"][
            : 2 if count == 1 else 5
        ]
    if draw(st.booleans()):
        lines += ["preheader: >", "  folded text", "  of two lines"]
    lines += draw(st.sampled_from([[], ["slug:"], ["kind: ~  # later", "subjects: {}"], ["intro_for:", ""]]))
    if draw(st.booleans()):
        lines.append("links: {'Act now': https://example.com/act}")
    return [*lines, draw(st.sampled_from(["---", "..."]))]


@st.composite
def sources(draw: st.DrawFn) -> bytes:
    """The bytes of an issue: one or mixed line ends, with or without a last one, in an encoding."""
    lines = draw(issues()).lines
    same = draw(st.one_of(st.none(), ENDINGS))
    ends = [same or draw(ENDINGS) for _ in lines]
    if draw(st.booleans()):
        ends[-1] = ""
    text = "".join(line + end for line, end in zip(lines, ends, strict=True))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"]))
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    return (mark + text).encode(encoding)
