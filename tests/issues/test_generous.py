"""What editors type, and what is read from it; what has no place is listed, never dropped."""

from datetime import date

import pytest

from mailer.config_tables import HeadingsTable
from mailer.issues.document import IssueDocument, Story, Unplaced
from tests.issues.reading import SMALL, read, small


def only_story(line: str) -> Story:
    document = read(line + "\nKey point: x\n")
    (story,) = document.stories
    return story


@pytest.mark.parametrize(
    ("line", "emoji", "title", "citations", "region", "when"),
    [
        ("🧬 A title [1] [US • 21 Jan 2026]", "🧬", "A title", (1,), "US", date(2026, 1, 21)),
        ("A title [1] [US • 21 Jan 2026]", "", "A title", (1,), "US", date(2026, 1, 21)),
        ("🧬 A title [US • 21 Jan 2026] [1]", "🧬", "A title", (1,), "US", date(2026, 1, 21)),
        ("🧬 A title [US • 21 Jan 2026]", "🧬", "A title", (), "US", date(2026, 1, 21)),
        ("🧬 A title [12]", "🧬", "A title", (12,), None, None),
        ("🧬 A title [1][3]", "🧬", "A title", (1, 3), None, None),
        ("🧬 A title [1] [3] [EU · 2 Feb 2026]", "🧬", "A title", (1, 3), "EU", date(2026, 2, 2)),
        ("🧬 A title [1, 3] [EU | 2 Feb 2026]", "🧬", "A title", (1, 3), "EU", date(2026, 2, 2)),
        ("🧬 A title [2–4] [EU - 2 Feb 2026]", "🧬", "A title", (2, 3, 4), "EU", date(2026, 2, 2)),
        ("🧬 A title [1] [US/EU - 2026-02-02]", "🧬", "A title", (1,), "US/EU", date(2026, 2, 2)),
        ("🧬 A title [1] [EU-27 – February 2, 2026]", "🧬", "A title", (1,), "EU-27", date(2026, 2, 2)),
        ("🧬 A title [1] [2 Feb 2026]", "🧬", "A title", (1,), None, date(2026, 2, 2)),
        ("🧬 A title [2 Feb 2026]", "🧬", "A title", (), None, date(2026, 2, 2)),
        ("🧬 A title [1] [US]", "🧬", "A title", (1,), "US", None),
        ("🧬 A title [South Korea]", "🧬", "A title", (), "South Korea", None),
        ("🧬 A title [1] [Polska • 2. Februar 2026]", "🧬", "A title", (1,), "Polska", date(2026, 2, 2)),
        ("🧬 A title [1] [Oslo • 2 Feb 2026]", "🧬", "A title", (1,), "Oslo", date(2026, 2, 2)),
        ("🧬 A title [1] [20–22 Jan 2026]", "🧬", "A title", (1,), None, None),
        ("🧬 A title [1][US•2 Feb 2026]", "🧬", "A title", (1,), "US", date(2026, 2, 2)),
        ("🧬 Trial [A] of [X] [1] [US • 2 Feb 2026]", "🧬", "Trial [A] of [X]", (1,), "US", date(2026, 2, 2)),
        ("🧬 An update [final] [1]", "🧬", "An update [final]", (1,), None, None),
        ("1️⃣ Keycap [1]", "1️⃣", "Keycap", (1,), None, None),
        ("🇫🇷 Flag [1]", "🇫🇷", "Flag", (1,), None, None),
        ("👩‍⚕️ Joined [1]", "👩‍⚕️", "Joined", (1,), None, None),
        ("🛡️ Shield [1]", "🛡️", "Shield", (1,), None, None),
        ("ℹ️ Letter [1]", "ℹ️", "Letter", (1,), None, None),
        ("🧬Glued [1]", "🧬", "Glued", (1,), None, None),
        ("2026 was a year [1]", "", "2026 was a year", (1,), None, None),
        ("™ and © are signs [1]", "", "™ and © are signs", (1,), None, None),
        ("🧬 A title [1] [US, 21 Jan 2026]", "🧬", "A title", (1,), "US", date(2026, 1, 21)),
        ("🧬 A title [FR, 21 Jan 2026]", "🧬", "A title", (), "FR", date(2026, 1, 21)),
        ("🧬 A title [1] [Oslo, 21 Jan 2026]", "🧬", "A title", (1,), "Oslo", date(2026, 1, 21)),
        ("🧬 A title [US: 21 Jan 2026]", "🧬", "A title", (), "US", date(2026, 1, 21)),
        ("🧬 A title [South Korea 2026-01-21]", "🧬", "A title", (), "South Korea", date(2026, 1, 21)),
        ("🧬 A title [1] [Wed, 21 Jan 2026]", "🧬", "A title", (1,), None, date(2026, 1, 21)),
        ("🧬 A title [1] [Mittwoch, 21. Januar 2026]", "🧬", "A title", (1,), None, date(2026, 1, 21)),
        ("🧬 A title [1] [mercredi, 21 janvier 2026]", "🧬", "A title", (1,), None, date(2026, 1, 21)),
        ("### 🧬 As a heading [1]", "🧬", "As a heading", (1,), None, None),
        ("🧬 טיפול חדש [1] [IL • 2 Feb 2026]", "🧬", "טיפול חדש", (1,), "IL", date(2026, 2, 2)),
        ("\u200fعلاج جديد [1]\u200f [EG • 2 Feb 2026]\u200f", "", "علاج جديد", (1,), "EG", date(2026, 2, 2)),
        ("🧬 細胞療法 [1] [日本 • 2026年2月2日]", "🧬", "細胞療法", (1,), "日本", date(2026, 2, 2)),
    ],
)  # fmt: skip
def test_a_title_line_is_read_from_the_right(
    line: str, emoji: str, title: str, citations: tuple[int, ...], region: str | None, when: date | None
) -> None:
    story = only_story(line)
    assert (story.emoji, story.title, story.citations) == (emoji, title, citations)
    assert (story.region, story.date) == (region, when)


@pytest.mark.parametrize(
    "text",
    ["01/02/2026", "last Tuesday", "31 Feb 2026", "Jan 2026", "20–22 Jan 2026"],
)
def test_a_date_that_is_unclear_is_kept_as_text_with_a_warning(text: str) -> None:
    document = read(f"A title [1] [US • {text}]\nhttps://example.com/\nKey point: x\n")
    assert (document.stories[0].date, document.stories[0].date_text) == (None, text)
    assert [warning.field for warning in document.warnings] == ["date"]


@pytest.mark.parametrize(
    "line",
    [
        *("A title [update]", "A title [Phase 1/2]", "A title [CD19-CD3]", "A title [PDF]", "A title [2026]"),
        *(
            "A title",
            "A title [1] and more",
            "A title [n]",
            "[1]",
            "🧬 [1] [US • 21 Jan 2026]",
            "Note: a remark",
        ),
        *("A title [cohort A - part 2]", "A title [3 of 5 years]", "A title [0]", "A title [1"),
    ],
)
def test_a_line_without_a_known_end_is_no_story_and_stays_visible(line: str) -> None:
    document = read(f"A story [1]\nKey point: x\n{line}\n")
    assert len(document.stories) == 1
    assert [unplaced.text for unplaced in document.unplaced] == [line]
    assert document.calls_to_action == ()


def test_a_bracket_behind_a_number_is_a_region_only_with_a_warning() -> None:
    document = read("A title [1] [Bavaria]\nhttps://example.com/\nKey point: x\n")
    assert document.stories[0].region == "Bavaria"
    assert [warning.field for warning in document.warnings] == ["region"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("In Today's Newsletter", "IN TODAY’S NEWSLETTER:"),
        ("In Today's Newsletter", "## In this issue"),
        ("Dive deeper", "### dive deeper:"),
        ("Dive deeper", "🔎 Dive deeper"),
        ("Why it matters", "## WHY IT MATTERS"),
        ("Why it matters", "##Why it matters"),
        ("Why it matters", "Why it matters?"),
        ("Why it matters", "**Why it matters?**"),
        ("Why it matters", "#💡 Why it matters ?"),
        ("In Today's Newsletter", "#In Today’s Newsletter"),
        ("Dive deeper", "##Dive deeper"),
        ("FAQ", "#FAQ"),
        ("FAQ", "#️⃣ FAQ"),
        ("FAQ", "##**FAQ**"),
        ("Keywords\n", "##Keywords: "),
        ("References", "##References"),
        ("References", "Reference:"),
        ("References", "#Source"),
        ("References\n- ", "References: "),
        ("References\n- https://example.com/one\n- ", "**Sources:** https://example.com/one, "),
        ("References\n- https://example.com/one\n- ", "References: [1] https://example.com/one [2] "),
        ("References\n- https://example.com/one\n- ", "Source: https://example.com/one\nSource: "),
        ("- https://example.com/one", "- Example press release, https://example.com/one"),
        ("- https://example.com/one", "2. [Example](https://example.com/one)."),
        ("- https://example.com/one", "- https://example.com/one (Example, 2026)"),
        ("- https://example.com/one", "Example says: https://example.com/one"),
        ("Why the first? [1]", "**Why the first? [1]**"),
        ("Why the first? [1]", "- **Why the first?** [1]"),
        ("Why the first? [1]", "### __Why the first? [1]__"),
        ("Why it matters", "💡 Why it matters:"),
        ("FAQ", "**Frequently Asked Questions**"),
        ("FAQ", "# faq :"),
        ("FAQ", "❓ FAQ"),
        ("Keywords\n", "Entities/Keywords:\n"),
        ("Keywords\n", "Keywords: "),
        ("Keywords\n", "**Keywords:** "),
        ("References", "__References:__"),
        ("References", "## Sources ##"),
        ("- https://example.com/one", "• https://example.com/one"),
        ("- https://example.com/one", "https://example.com/one"),
        ("- https://example.com/one", "1. https://example.com/one"),
        ("- https://example.com/one", "[1] https://example.com/one"),
        ("- It changes", "• It changes"),
        ("- It changes", "* It changes"),
        ("- It changes", "•It changes"),
        ("- It changes", "It changes"),
        ("Context: What", "context : What"),
        ("Context: What", "**Context:** What"),
        ("Context: What", "**Context**: What"),
        ("Context: What", "- Context: What"),
        ("Context: What", "• **CONTEXT:** What"),
        ("Context: What", "Background: What"),
        ("Context: What", "Context：What"),
        ("Context: What", "Context — What"),
        ("Context: What", "Context:What"),
        ("Context: What came before.", "**Context: What came before.**"),
        ("Key point: What", "Key  Point: What"),
        ("gamma.\n", "gamma\n"),
        ("alpha; beta-two; gamma.", "alpha;beta-two ;\ngamma."),
        ("alpha; beta-two; gamma.", "- alpha\n- beta-two\n- gamma"),
        ("Why the first? [1]", "- Why the first? [1]"),
        ("Why the first? [1]", "### Why the first? [1]"),
        ("\nhttps://example.com/two\nKey", "\n\n  https://example.com/two  \n\nKey"),
        ("[1] [US • 21 Jan 2026]\n", "[1] [US • 21 Jan 2026]   \n"),
        ("It changes the first thing. [1]", "It changes the first thing. [1]."),
    ],
)
def test_what_is_typed_otherwise_is_read_the_same(old: str, new: str) -> None:
    assert said(read(small(old, new))) == said(read(SMALL))


def said(document: IssueDocument) -> object:
    """What an issue says, without line numbers and dates of reading."""
    return (
        document.intro,
        [label.casefold() for label in document.dive_deeper],
        [(s.title, s.citations, s.urls, s.context, s.key_point, s.implication) for s in document.stories],
        [(point.text.rstrip("."), point.citations) for point in document.why_it_matters],
        [call.text for call in document.calls_to_action],
        [(entry.question, entry.citations, entry.answer) for entry in document.faq],
        document.keywords,
        document.references,
        document.unplaced,
    )


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_line_ends_and_encodings_do_not_matter(ending: str, encoding: str) -> None:
    text = SMALL.replace("\n", ending)
    assert said(read(text.encode(encoding))) == said(read(SMALL))
    assert said(read(text.rstrip("\r\n").encode(encoding))) == said(read(SMALL))


def test_other_separators_of_unicode_end_no_line() -> None:
    document = read("A title\u2028with odd\u2029signs\u00a0in it [1]\nKey point: x\n")
    assert document.stories[0].title == "A title\u2028with odd\u2029signs\u00a0in it"


def test_a_story_may_lack_everything_but_its_title() -> None:
    document = read("A story [1]\nAnother [US • 21 Jan 2026]\n")
    assert [story.urls for story in document.stories] == [(), ()]
    fields = [(warning.line, warning.field) for warning in document.warnings]
    assert fields == [(1, "URL"), (1, "key point"), (1, "citation"), (2, "URL"), (2, "key point")]


def test_a_story_may_have_several_urls_on_one_line_or_more() -> None:
    document = read(
        "A story [1]\nhttps://example.com/a https://example.com/b\nKey point: x\nhttps://example.com/c\n"
    )
    assert document.stories[0].urls == tuple(f"https://example.com/{name}" for name in "abc")


def test_thirty_stories_keep_their_order_and_numbers() -> None:
    text = "".join(f"Story {n} [{n}]\nhttps://example.com/{n}\nKey point: x\n" for n in range(1, 31))
    document = read(text)
    assert [(s.number, s.title, s.citations) for s in document.stories] == [
        (n, f"Story {n}", (n,)) for n in range(1, 31)
    ]
    assert document.warnings == ()


def test_an_issue_in_another_language_needs_only_its_headings() -> None:
    headings = HeadingsTable(
        context=("Contexte",), key_point=("Point clé",), implication=("Portée",),
        faq=("Questions fréquentes",), why_it_matters=("Pourquoi c'est important",), keywords=("Mots-clés",),
        references=("Références",),
    )  # fmt: skip
    document = read(
        "Une semaine calme.\n🧬 Un titre [1] [France • 21 janvier 2026]\nhttps://example.com/un\n"
        "Contexte : avant.\nPoint clé : après.\nPortée : demain.\n"
        "POURQUOI C’EST IMPORTANT\n- Une ligne. [1]\nQuestions fréquentes\n"
        "Pourquoi ? [1]\nParce que.\nMots-clés\nun; deux.\nRéférences\n- https://example.com/un\n",
        headings=headings,
    )
    story = document.stories[0]
    assert (story.context, story.key_point, story.implication) == ("avant.", "après.", "demain.")
    assert story.date == date(2026, 1, 21)
    assert (len(document.why_it_matters), len(document.faq), document.keywords) == (1, 1, ("un", "deux"))
    assert document.unplaced == ()
    assert document.warnings == ()


def test_the_products_own_headings_are_known_beside_configured_ones() -> None:
    assert said(read(SMALL, headings=HeadingsTable(faq=("Questions",)))) == said(read(SMALL))


def test_what_has_no_place_is_listed_with_its_line() -> None:
    document = read(
        small("Key point: What is new.\n", "Key point: What is new.\nIt goes on here.\nQuote: none\n")
    )
    assert document.unplaced == (Unplaced(8, "It goes on here."), Unplaced(9, "Quote: none"))
    assert document.stories[0].implication == "What follows."


def test_a_story_whose_title_was_not_recognised_does_not_spoil_the_one_before() -> None:
    document = read(small("Second title [2] [EU • 22 Jan 2026]", "Second title"))
    (story,) = document.stories
    assert (story.urls, story.key_point) == (("https://example.com/one",), "What is new.")
    texts = [line.text for line in document.unplaced]
    assert texts == ["https://example.com/two", "Key point: Something else is new."]


def test_an_emoji_line_between_stories_is_no_call_to_action() -> None:
    document = read("One [1]\nKey point: x\n🧪 Forgot its number\nKey point: y\nTwo [2]\nKey point: z\n")
    assert [line.text for line in document.unplaced] == ["🧪 Forgot its number", "Key point: y"]
    assert [story.key_point for story in document.stories] == ["x", "z"]
    assert document.calls_to_action == ()


def test_a_second_label_of_the_same_name_is_not_taken_silently() -> None:
    document = read("One [1]\nhttps://example.com/\nKey point: x\nKey point: y\nImplication: z\n")
    assert (document.stories[0].key_point, document.stories[0].implication) == ("x", "z")
    assert [line.text for line in document.unplaced] == ["Key point: y"]
    assert [(warning.line, warning.field) for warning in document.warnings] == [(4, "key point")]


def test_a_list_of_contents_makes_no_second_stories() -> None:
    listed = "In Today's Newsletter\n- First title [1]\n- Second title [2]\n"
    document = read(small("In Today's Newsletter\n", listed))
    assert [story.title for story in document.stories] == ["First title", "Second title"]
    assert [line.text for line in document.unplaced] == ["- First title [1]", "- Second title [2]"]


def test_calls_to_action_may_follow_any_part_behind_the_stories() -> None:
    document = read(SMALL + "🧰 After the list\n")
    assert [call.text for call in document.calls_to_action] == ["Act now. Write to us.", "After the list"]


def test_an_emoji_line_without_a_number_is_a_call_to_action_even_when_it_asks() -> None:
    document = read(small("Because.\n", "Because.\n🎯 Want to know more?\n❓ And the second? [2]\nYes.\n"))
    assert [call.text for call in document.calls_to_action][1:] == ["Want to know more?"]
    assert [entry.question for entry in document.faq] == ["Why the first?", "❓ And the second?"]


def test_a_word_with_a_colon_is_meant_as_a_url_under_a_title_only() -> None:
    text = "One [1]\nKey point: x\n🚀 Act now\nNote:this stands under no title\n"
    assert [line.text for line in read(text).unplaced] == ["Note:this stands under no title"]


def test_stories_end_in_the_faq_but_questions_with_numbers_do_not() -> None:
    text = "FAQ\nDoes it help? [1]\nIt may.\nMore so in time. [2]\nA question without its sign [2]\nYes.\n"
    document = read("One [1]\nhttps://example.com/1\nTwo [2]\nhttps://example.com/2\n" + text)
    assert len(document.stories) == 2
    assert [(entry.question, entry.citations, len(entry.answer)) for entry in document.faq] == [
        ("Does it help?", (1,), 2),
        ("A question without its sign", (2,), 1),
    ]


def test_points_with_numbers_are_no_stories_but_a_story_behind_them_is() -> None:
    document = read(
        "One [1]\nWhy it matters\nA point [1]\nAnother [1]\nTwo [2]\nhttps://example.com/2\nKey point: x\n"
    )
    assert [point.text for point in document.why_it_matters] == ["A point", "Another"]
    assert [story.title for story in document.stories] == ["One", "Two"]


def test_lines_behind_a_finished_list_are_unplaced() -> None:
    document = read(small("gamma.\n", "gamma.\n© 2026 Example\n") + "Unsubscribe here\n")
    assert document.keywords == ("alpha", "beta-two", "gamma")
    assert [line.text for line in document.unplaced] == ["© 2026 Example", "Unsubscribe here"]


def test_a_url_is_never_a_keyword() -> None:
    listed = "alpha; https://example.com/x ; see www.example.com; beta-two; gamma\n- https://example.com/y\n"
    document = read(small("alpha; beta-two; gamma.\n", listed))
    assert document.keywords == ("alpha", "beta-two", "gamma")
    texts = ["https://example.com/x", "see www.example.com", "- https://example.com/y"]
    assert [line.text for line in document.unplaced] == texts


def test_what_an_unknown_heading_heads_is_no_keyword() -> None:
    listed = "alpha; beta-two; gamma\nQuellen:\n- https://example.com/x\n- A remark\nDrugs:\ndelta; eps\n"
    document = read(small("alpha; beta-two; gamma.\n", listed))
    assert document.keywords == ("alpha", "beta-two", "gamma", "delta", "eps")
    texts = ["Quellen:", "- https://example.com/x", "- A remark", "Drugs:"]
    assert [line.text for line in document.unplaced] == texts


def test_a_source_named_under_a_story_or_an_answer_begins_no_references() -> None:
    text = small(
        "Key point: What is new.\n", "Key point: What is new.\nSource: https://example.com/s\nSource\n"
    )
    document = read(text.replace("Because.\n", "Because.\nSources: https://example.com/a\nWhy not?\nSo.\n"))
    assert [line.text for line in document.unplaced] == ["Source: https://example.com/s", "Source"]
    assert [len(entry.answer) for entry in document.faq] == [2, 1]
    assert document.references == ("https://example.com/one", "https://example.com/two")
    assert len(document.stories) == 2


def test_the_references_may_begin_on_their_headings_line_behind_any_part() -> None:
    for before in (SMALL.partition("Keywords")[0], SMALL.partition("FAQ")[0], SMALL.partition("Why")[0]):
        document = read(before + "References: https://example.com/one https://example.com/two\n")
        assert document.references == ("https://example.com/one", "https://example.com/two")
        assert document.unplaced == ()


def test_a_question_named_like_a_heading_is_a_question_in_the_faq() -> None:
    document = read(small("Because.\n", "Because.\nWhy it matters?\nIt does.\n"))
    assert [entry.question for entry in document.faq] == ["Why the first?", "Why it matters?"]


def test_a_hashtag_is_text() -> None:
    document = read(small("An opening line.", "#hashtags and #FAQs are text\n#FAQfirst"))
    assert document.intro == ("#hashtags and #FAQs are text", "#FAQfirst")


def test_words_beside_a_reference_are_kept_with_a_warning() -> None:
    document = read(small("- https://example.com/one", "- Example press release, https://example.com/one"))
    assert [(warning.line, warning.field) for warning in document.warnings] == [(22, "references")]


def test_a_reference_without_a_good_url_keeps_its_number() -> None:
    document = read(small("- https://example.com/one", "- Example et al., in print"))
    assert document.references == ("", "https://example.com/two")
    assert [line.text for line in document.unplaced] == ["- Example et al., in print"]
    warned = [(warning.line, warning.field) for warning in document.warnings]
    assert warned == [(4, "citation"), (13, "citation"), (17, "citation"), (22, "references")]


def test_a_footer_behind_the_references_is_none() -> None:
    footer = "- Example et al., in print\nView online: https://example.com/view\n"
    document = read(SMALL + footer)
    assert document.references == ("https://example.com/one", "https://example.com/two")
    assert [line.text for line in document.unplaced] == footer.splitlines()


def test_an_unknown_heading_closes_the_part_before_it() -> None:
    document = read(small("🚀 Act now", "## From our partners\n- A paid line\n🚀 Act now"))
    assert [line.text for line in document.unplaced] == ["## From our partners", "- A paid line"]
    assert len(document.why_it_matters) == 2


def test_numbers_that_lead_nowhere_are_warned_of() -> None:
    document = read(small("Why the first? [1]", "Why the first? [9]"))
    assert [(warning.line, warning.field) for warning in document.warnings] == [(17, "citation")]


def test_a_number_that_cites_another_source_than_the_story_is_warned_of() -> None:
    document = read(small("Second title [2]", "Second title [1]"))
    assert [(warning.line, warning.field) for warning in document.warnings] == [(9, "citation")]


def test_without_references_a_number_cites_the_story_printed_with_it() -> None:
    document = read(SMALL.partition("References")[0])
    assert document.references == ()
    assert document.warnings == ()


def test_a_labelled_line_that_ends_in_a_number_begins_no_story() -> None:
    document = read(small("Key point: What is new.", "Key point: What is new. [2]"))
    assert [story.title for story in document.stories] == ["First title", "Second title"]
    assert document.stories[0].key_point == "What is new. [2]"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("What is new.", "What is new [7].", 7),
        ("Because.", "Because [7] of it.", 18),
        ("An opening", "[7] opens", 1),
    ],
)
def test_numbers_in_running_text_that_lead_nowhere_are_warned_of(old: str, new: str, line: int) -> None:
    assert [(warning.line, warning.field) for warning in read(small(old, new)).warnings] == [
        (line, "citation")
    ]


def test_a_question_without_an_answer_is_warned_of() -> None:
    assert [warning.field for warning in read(small("Because.\n", "")).warnings] == ["FAQ"]


def test_a_list_of_contents_is_told_from_two_stories_with_one_title() -> None:
    listed = read("In Today's Newsletter\nOne title [1]\n\nOne title [1]\nhttps://example.com/one\n")
    assert [(story.line, story.citations) for story in listed.stories] == [(4, (1,))]
    twins = read("In Today's Newsletter\nOne title [1]\nOne title [2]\nhttps://example.com/two\n")
    assert [(story.line, story.citations) for story in twins.stories] == [(2, (1,)), (3, (2,))]
