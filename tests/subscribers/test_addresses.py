"""What is taken as an address, what is mailed, what is compared, what a page shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.addresses import Address, AddressRefused, mask, parse_address, parse_slowly

ATOMS = "abcXYZ019_!#$%&'*+-/=?^`{|}~"
locals_ = st.one_of(
    st.text(ATOMS + ".", min_size=1, max_size=70),
    st.text(st.characters(max_codepoint=0x250), max_size=20),
    st.sampled_from(["Info", "postmaster", "WWW", "a..b", ".a", "a.", '"a b"', "é", "a" * 64, "a" * 65]),
)
domains = st.one_of(
    st.sampled_from(
        [
            "example.com",
            "Example.ORG",
            "exämple.org",
            "xn--exmple-cua.org",
            "EXÄMPLE.org",
            "sub.example.com",
            "example",
            "nope.test",
            "host.local",
            "[127.0.0.1]",
            "-a.example.com",
            "a_b.example.com",
            "例え.example.com",
            "ab--cd.example.com",
            "example.com.",
            f"{'a' * 63}.{'b' * 63}.{'c' * 63}.example.com",
            f"{'a' * 64}.example.com",
        ]
    ),
    st.text("abcÄß-.09", min_size=1, max_size=80).map(lambda text: text + ".example.com"),
    st.text(st.characters(max_codepoint=0x3000), max_size=10),
)


def outcome(parse: object, text: str) -> Address | str:
    assert callable(parse)
    try:
        found = parse(text)
    except AddressRefused as error:
        return error.message
    assert isinstance(found, Address)
    return found


@given(local=locals_, domain=domains)
def test_the_fast_path_says_what_email_validator_says(local: str, domain: str) -> None:
    text = f"{local}@{domain}"
    assert outcome(parse_address, text) == outcome(parse_slowly, text)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused_with_a_reason(text: str) -> None:
    assert outcome(parse_address, text) == outcome(parse_slowly, text)


@given(local=st.text(ATOMS, min_size=1, max_size=30), domain=domains)
def test_what_was_taken_is_taken_again_unchanged(local: str, domain: str) -> None:
    first = outcome(parse_address, f"{local}@{domain}")
    if isinstance(first, Address):
        assert parse_address(first.email) == first
        assert first.email.isascii()
        assert parse_address(first.key).key == first.key


@pytest.mark.parametrize(
    ("typed", "email", "key"),
    [
        ("  Jane.Doe@Example.COM \n", "Jane.Doe@example.com", "jane.doe@example.com"),
        ("\ufeffjane@example.com\u200b", "jane@example.com", "jane@example.com"),
        ("jane+news@exämple.org", "jane+news@xn--exmple-cua.org", "jane+news@xn--exmple-cua.org"),
        ("jane@EXA\u0308MPLE.org", "jane@xn--exmple-cua.org", "jane@xn--exmple-cua.org"),
        ("Info@example.com", "info@example.com", "info@example.com"),
        ("o'hara@example.com", "o'hara@example.com", "o'hara@example.com"),
    ],
)
def test_an_address_is_trimmed_and_its_domain_made_mailable(typed: str, email: str, key: str) -> None:
    assert parse_address(typed) == Address(email, key)


def test_dots_and_plus_tags_are_other_addresses() -> None:
    keys = {
        parse_address(text).key for text in ("jane@example.com", "ja.ne@example.com", "jane+x@example.com")
    }
    assert len(keys) == 3


def test_an_address_that_needs_smtputf8_is_refused_with_its_reason() -> None:
    with pytest.raises(AddressRefused, match="SMTPUTF8") as caught:
        parse_address("josé@example.com")
    assert "'é'" in caught.value.message


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "jane",
        "jane@",
        "@example.com",
        "jane@example",
        "jane@somewhere.test",
        "jane@localhost",
        "jane@[127.0.0.1]",
        "Jane <jane@example.com>",
        '"jane doe"@example.com',
        "jane@example.com, joe@example.com",
        "jane\x00@example.com",
        "jane@exam\nple.com",
        f"{'a' * 65}@example.com",
        "a" * 1_000_000,
        f"jane@{'a' * 1_000_000}.example.com",
    ],
)
def test_what_cannot_be_mailed_is_refused(typed: str) -> None:
    with pytest.raises(AddressRefused) as caught:
        parse_address(typed)
    assert len(caught.value.message) < 200


def test_a_refusal_does_not_repeat_the_address() -> None:
    with pytest.raises(AddressRefused) as caught:
        parse_address("secret.person@nope.test")
    assert "secret.person" not in str(caught.value)


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("jane@example.org", "j•••@e•••.org"),
        ("j@a.b.example.com", "j•••@a•••.com"),
        ("", "•••"),
        ("nonsense", "•••"),
    ],
)
def test_a_mask_shows_enough_for_its_owner_only(email: str, shown: str) -> None:
    assert mask(email) == shown
