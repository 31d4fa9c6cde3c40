"""What an editor should know about an edition before it goes: size, subject, preview text.

Nothing here stops a letter; `needs_confirmation` says when a person must be asked first.
"""

from mailer.editions.content import EditionContent

# Gmail clips at 102 kB and hides the footer with its unsubscribe link (design, decision 16).
HTML_WARN_BYTES = 80_000
HTML_CONFIRM_BYTES = 100_000
# Phones show 35 to 60 characters.
SUBJECT_WARN_CHARACTERS = 60


def edition_warnings(content: EditionContent, html_bytes: int) -> tuple[str, ...]:
    """Everything to look at, in words; `html_bytes` counts every slot at its longest."""
    return (*content.warnings, *_size_warnings(html_bytes), *_subject_warnings(content))


def needs_confirmation(html_bytes: int) -> bool:
    """Whether the HTML is so large that mail clients may clip it."""
    return html_bytes >= HTML_CONFIRM_BYTES


def _size_warnings(html_bytes: int) -> tuple[str, ...]:
    size = f"the HTML has {html_bytes / 1000:.1f} kB"
    if needs_confirmation(html_bytes):
        return (f"{size}: Gmail clips at 102 kB and hides the footer. Shorten texts or leave out stories.",)
    if html_bytes >= HTML_WARN_BYTES:
        return (f"{size}: Gmail clips at 102 kB.",)
    return ()


def _subject_warnings(content: EditionContent) -> tuple[str, ...]:
    warnings = []
    if len(content.subject) > SUBJECT_WARN_CHARACTERS:
        warnings.append(
            f"the subject has {len(content.subject)} characters; phones show up to {SUBJECT_WARN_CHARACTERS}."
        )
    if not content.preheader:
        warnings.append("there is no preview text: write 'preheader:' or a key point in the first story.")
    return tuple(warnings)
