"""Links that were sent work for ever: the tokens of a key are the same in every version."""

import pytest

from mailer.links import Purpose, Tokens

TOKENS = Tokens(["a fixed secret"])
LETTER = 987_654_321_012
SENT = {
    Purpose.READ: "-eX0yPN0cDRDWanjIJxpehTB",
    Purpose.LEAVE: "-eX0yPN0cDt5wyccF3BdsnZy",
    Purpose.PREFS: "-eX0yPN0kybfjOWSrLlR3IWQ",
    Purpose.TRACK: "-eX0yPN0IKNZZ1f9L2LRiHzo",
    Purpose.TRACK_CAMPAIGN: "-eX0yPN0x3CUC7daef82Far4",
    Purpose.EVENT: "-eX0yPN0DDAQVtP2uoDk3D7r",
}


@pytest.mark.parametrize("purpose", Purpose)
def test_a_token_that_was_sent_opens_its_own_door_for_ever(purpose: Purpose) -> None:
    assert TOKENS.sign(purpose, LETTER) == SENT[purpose]
    doors = {other for other in Purpose if TOKENS.open(other, SENT[purpose]) == LETTER}
    assert doors == {purpose}


def test_the_tokens_of_a_letter_are_those_of_its_purposes() -> None:
    (letter,) = TOKENS.sign_letters([LETTER])
    assert letter._asdict() == {
        purpose.value: token for purpose, token in SENT.items() if purpose is not Purpose.TRACK_CAMPAIGN
    }
