"""A provider that never was: takes calls, keeps what it took, answers as it was told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from mailer.delivery.transport import (
    Accepted,
    Answer,
    Batch,
    BatchCancelled,
    BatchUnknown,
    Call,
    NoBatch,
)


@dataclass
class Provider:
    """`answer` decides a call from its addresses and number; `taken` is what really went."""

    answer: Callable[[list[str], int], Answer] = lambda _addresses, number: Accepted(f"message-{number}")
    # Whether a call that ends in doubt was taken all the same.
    takes_in_doubt: bool = False
    calls: list[dict[str, Any]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    # Batch ids given, and whether they are cancelled; letters behind one go only if it is not.
    batches: dict[str, bool] = field(default_factory=dict)
    behind: list[tuple[str, str | None]] = field(default_factory=list)
    # How a request for an id or a cancel ends instead: by the number of the request.
    instead: Callable[[str, int], NoBatch | BatchCancelled | BatchUnknown | None] = lambda _what, _number: (
        None
    )
    asked: list[str] = field(default_factory=list)

    def submit(self, call: Call) -> Answer:
        body = orjson.loads(call.encoded)
        self.calls.append(body)
        addresses = addresses_of(body)
        assert len(addresses) == call.recipients
        self.before()
        answer = self.answer(addresses, len(self.calls))
        if isinstance(answer, Accepted) or (type(answer).__name__ == "Uncertain" and self.takes_in_doubt):
            self.taken += addresses
            self.behind += [(address, body.get("batch_id")) for address in addresses]
        return answer

    @property
    def gone(self) -> list[str]:
        """Whose letters go, when the time of all has come."""
        return sorted(address for address, batch in self.behind if not self.batches.get(batch or "", False))

    def new_batch(self) -> Batch | NoBatch:
        told = self._ask("new")
        if isinstance(told, NoBatch):
            return told
        batch_id = f"batch-{len(self.batches) + 1}"
        self.batches[batch_id] = False
        return Batch(batch_id)

    def cancel_batch(self, batch_id: str) -> BatchCancelled | BatchUnknown:
        told = self._ask("cancel")
        if isinstance(told, BatchUnknown) and not self.takes_in_doubt:
            return told
        self.batches[batch_id] = True
        return told if isinstance(told, BatchUnknown | BatchCancelled) else BatchCancelled()

    def batch_status(self, batch_id: str) -> BatchCancelled | BatchUnknown:
        told = self._ask("status")
        if isinstance(told, BatchUnknown):
            return told
        return BatchCancelled() if self.batches[batch_id] else BatchUnknown("not cancelled")

    def _ask(self, what: str) -> NoBatch | BatchCancelled | BatchUnknown | None:
        self.asked.append(what)
        return self.instead(what, self.asked.count(what))

    def close(self) -> None:
        return


def addresses_of(body: dict[str, Any]) -> list[str]:
    return [personalization["to"][0]["email"] for personalization in body["personalizations"]]
