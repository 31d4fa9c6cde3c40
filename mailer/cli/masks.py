"""What a log line must not carry, whatever was put into it: addresses, tokens, keys, credentials of URLs.

Nothing here knows where a text comes from: it goes by looks, and rather hides too much.
"""

import re

ADDRESS, TOKEN, KEY, CREDENTIALS = "[address]", "[token]", "[key]", "[credentials]"
# Beyond this, a line is cut: a page of HTML is no news.
MOST_CHARACTERS = 20_000
TOKEN_CHARACTERS = 20

_CREDENTIALS = re.compile(r"://[^/\s]*@")
_AUTHORIZATION = re.compile(r"\b(bearer|basic)\s+[^\s'\",;]+", re.IGNORECASE)
_KEY = re.compile(r"\bSG\.[\w.-]+")
# A quoted local part may hold spaces; else a piece between spaces and brackets with an @ in it.
_QUOTED_ADDRESS = re.compile(r'"[^"\n]{1,200}"@[^\s<>"\'()\[\],;]+')
_PIECE = re.compile(r"[^\s<>\"'()\[\],;]+")
_AT = re.compile(r"@|%40|=40|\uff20|\\u0040|\\x40", re.IGNORECASE)
# What is random enough to open a door: long, of both cases, as base64 for URLs is.
_RUN = re.compile(rf"[A-Za-z0-9_\-+/=]{{{TOKEN_CHARACTERS},}}|[A-Za-z0-9_\-]{{{TOKEN_CHARACTERS},}}")
# `UnsupportedCompilationError`: a word of programmers, no token.
_CAMEL = re.compile(r"_?(?:[A-Z]{0,3}[a-z]{2,})+")


def masked(text: str) -> str:
    """The text without what it must not carry."""
    cut = text[:MOST_CHARACTERS]
    cut = _CREDENTIALS.sub(f"://{CREDENTIALS}@", cut)
    cut = _AUTHORIZATION.sub(lambda found: f"{found[1]} {TOKEN}", cut)
    cut = _KEY.sub(KEY, cut)
    cut = _QUOTED_ADDRESS.sub(ADDRESS, cut)
    cut = _PIECE.sub(_piece, cut)
    return _RUN.sub(_run, cut)


def _piece(found: re.Match[str]) -> str:
    piece = found[0].replace(f"{CREDENTIALS}@", "")
    return ADDRESS if _AT.search(piece) else found[0]


def _run(found: re.Match[str]) -> str:
    """A path is looked at step by step; a run is a token when both cases meet in it."""
    return "/".join(TOKEN if _is_token(step) else step for step in found[0].split("/"))


def _is_token(step: str) -> bool:
    if len(step) < TOKEN_CHARACTERS or step.lower() == step or step.upper() == step:
        return False
    return not all(_CAMEL.fullmatch(word) for word in re.split(r"[_\-]", step) if word)
