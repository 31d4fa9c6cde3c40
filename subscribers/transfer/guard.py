"""Cells that a spreadsheet would run as formulas: disarmed on the way out, restored on the way in.

A leading apostrophe makes a spreadsheet show the text as it is (OWASP, "CSV injection"). Full-width signs
count too: Excel reads them as the narrow ones where the language of the desk writes them.
"""

import re

_BEGINNINGS = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(f"'*{_BEGINNINGS}")
_GUARDED = re.compile(f"'+{_BEGINNINGS}")


def guard(cell: str) -> str:
    """The cell as a spreadsheet may see it; `unguard` gives back exactly what went in."""
    return "'" + cell if _FORMULA.match(cell) else cell


def unguard(cell: str) -> str:
    """The cell without the apostrophe that `guard` put before it."""
    return cell[1:] if _GUARDED.match(cell) else cell
