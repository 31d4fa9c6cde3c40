import pytest

from mailer.delivery.masking import masked


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("550 5.1.1 <ada.low@example.com> unknown", "550 5.1.1 <[address]> unknown"),
        ("mailto:x@example.org; try later", "[address]; try later"),
        ("user ada.low does not exist", "user [address] does not exist"),
        ("VERP bounce+ada=example.com@mx.example.org", "VERP [address]"),
        ("blocked ada%40example.com from 203.0.113.9", "blocked [address] from [ip]"),
        ("from 2001:db8::25:1 refused", "from [ip] refused"),
        ('bad "Jo <jo.doe@example.org>" (x@y), z@w;', 'bad "Jo <[address]>" ([address]), [address];'),
        ("two\r\nlines\x00here", "two lineshere"),
    ],
)
def test_a_reason_names_no_address_and_no_ip(said: str, kept: str) -> None:
    assert masked(said, "Ada.Low@example.com", most_characters=200) == kept


def test_a_reason_of_any_length_is_masked_quickly_and_cut() -> None:
    assert len(masked("x" * 3_000_000, most_characters=200)) == 200
    assert masked("a" * 1_999 + "@", most_characters=200) == "[address]"
