"""A provider that never was: takes calls, keeps what it took, answers as it was told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from mailer.delivery.transport import Accepted, Answer, Call


@dataclass
class Provider:
    """`answer` decides a call from its addresses and number; `taken` is what really went."""

    answer: Callable[[list[str], int], Answer] = lambda _addresses, number: Accepted(f"message-{number}")
    # Whether a call that ends in doubt was taken all the same.
    takes_in_doubt: bool = False
    calls: list[dict[str, Any]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def submit(self, call: Call) -> Answer:
        body = orjson.loads(call.encoded)
        self.calls.append(body)
        addresses = addresses_of(body)
        assert len(addresses) == call.recipients
        self.before()
        answer = self.answer(addresses, len(self.calls))
        if isinstance(answer, Accepted) or (type(answer).__name__ == "Uncertain" and self.takes_in_doubt):
            self.taken += addresses
        return answer

    def close(self) -> None:
        return


def addresses_of(body: dict[str, Any]) -> list[str]:
    return [personalization["to"][0]["email"] for personalization in body["personalizations"]]
