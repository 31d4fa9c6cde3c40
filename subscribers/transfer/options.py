"""What the person who imports decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# Mailchimp's three exports: who gets mail, who left, whose address is dead.
FileStatus = Literal["subscribed", "unsubscribed", "cleaned"]


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """`topics`: declared slugs and their names; `basis`: why we may write to these people."""

    basis: str
    suppression_key: str = field(repr=False)
    topics: Mapping[str, str] = field(default_factory=dict)
    status: FileStatus = "subscribed"
    unknown_topics: Literal["refuse", "ignore"] = "refuse"
    replace_topics: bool = False
    overwrite_choices: bool = False
