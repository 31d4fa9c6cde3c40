"""What the sandbox accepted, in its own SQLite file: requests once, letters one row each.

Nothing leaves from here. A letter is drawn from its request by `letters.py` when somebody looks.
Times are Unix seconds. The tables are the sandbox's own and have no migrations: a file of another
version is refused.
"""

import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from mailer import dialect
from subscribers.errors import NewsletterError

VERSION = 2
MESSAGE_ID_BYTES = 16  # 22 characters without a dot, as X-Message-Id has
BUSY_TIMEOUT_SECONDS = 30.0

_TABLES = """
CREATE TABLE request (
  id INTEGER PRIMARY KEY, message_id TEXT NOT NULL UNIQUE, received_at REAL NOT NULL,
  message TEXT NOT NULL,             -- the JSON as it came, without its personalizations
  send_at INTEGER, batch_id TEXT, size_bytes INTEGER NOT NULL,
  substitution_order TEXT NOT NULL); -- in force when it was accepted
CREATE TABLE letter (
  id INTEGER PRIMARY KEY, request_id INTEGER NOT NULL REFERENCES request, position INTEGER NOT NULL,
  email TEXT NOT NULL, email_key TEXT NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL,
  subject TEXT NOT NULL, attempt TEXT, -- its nl_a
  personalization TEXT NOT NULL, send_at INTEGER,
  dropped TEXT,                      -- why SendGrid would not try: a suppression's reason
  fate TEXT NOT NULL DEFAULT 'accepted', played_at REAL, opened INTEGER NOT NULL DEFAULT 0,
  clicked INTEGER NOT NULL DEFAULT 0, left_list INTEGER NOT NULL DEFAULT 0);
CREATE INDEX letter_email ON letter (email_key);             -- search, filters by address
CREATE INDEX letter_attempt ON letter (attempt);             -- GET /sandbox/messages?attempt=
CREATE INDEX letter_request ON letter (request_id);          -- filters by message id, cancelled batches
CREATE INDEX letter_unplayed ON letter (id) WHERE played_at IS NULL;  -- readers look for new letters
CREATE TABLE event (
  id INTEGER PRIMARY KEY, letter_id INTEGER NOT NULL, kind TEXT NOT NULL, at REAL NOT NULL,
  payload TEXT NOT NULL, posted_at REAL);
CREATE INDEX event_letter ON event (letter_id);              -- the timeline of one letter
CREATE INDEX event_waiting ON event (id) WHERE posted_at IS NULL;  -- what a webhook has not taken yet
CREATE TABLE call (
  id INTEGER PRIMARY KEY, at REAL NOT NULL, path TEXT NOT NULL, status INTEGER, misbehaviour TEXT,
  personalizations INTEGER, message_id TEXT);
CREATE TABLE suppression (
  kind TEXT NOT NULL, email_key TEXT NOT NULL, email TEXT NOT NULL, reason TEXT NOT NULL,
  status TEXT NOT NULL, created INTEGER NOT NULL, PRIMARY KEY (kind, email_key));
CREATE TABLE batch (id TEXT PRIMARY KEY, created REAL NOT NULL, status TEXT);
CREATE TABLE keep (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_EMPTIED = ("letter", "request", "event", "call", "suppression", "batch")

# Suppression kinds, the API's words, and the reason that a later `dropped` event gives. A block
# stops nothing later (SendGrid, "Suppressions overview").
DROP_REASONS = {
    "bounces": "Bounced Address",
    "spam_reports": "Spam Reporting Address",
    "invalid_emails": "Invalid",
    "global": "Unsubscribed Address",
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recipient:
    """One address of one personalization."""

    position: int  # of its personalization
    email: str
    name: str
    role: str  # to, cc, bcc
    subject: str  # as this recipient sees it
    attempt: str | None
    send_at: int | None


class Mailbox:
    """The sandbox's file: one connection that writes, one that reads, each behind a lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._module = dialect.sqlite_module()
        self._writer = self._connect()
        self._writing = threading.RLock()
        self._prepare()
        self._reader = self._connect()
        self._reader.execute("PRAGMA query_only = ON")
        self._reading = threading.Lock()

    def _connect(self) -> Any:
        connection = self._module.connect(
            str(self.path), timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = self._module.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # a toy: a power cut may cost the mailbox
        return connection

    def _prepare(self) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._writer.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version = {VERSION};COMMIT")
        elif version != VERSION:
            self._writer.close()
            raise NewsletterError(
                "this mailbox was written by another version of the sandbox.",
                file=str(self.path),
                cure="Delete the file: it holds play mail only.",
            )

    def close(self) -> None:
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """One write transaction; the connection inside must not leave the block."""
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    def rows(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        with self._reading:
            return [dict(row) for row in self._reader.execute(statement, values)]

    def row(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Row | None:
        found = self.rows(statement, values)
        return found[0] if found else None

    # -- accepting ------------------------------------------------------------------------------

    def accept(
        self,
        message: Row,
        people: Iterable[Recipient],
        personalizations: Sequence[Row],
        size_bytes: int,
        now: float,
        substitution_order: str,
    ) -> str:
        """Store a request and its letters; the new X-Message-Id."""
        message_id = secrets.token_urlsafe(MESSAGE_ID_BYTES)
        shared = {key: value for key, value in message.items() if key != "personalizations"}
        own = [orjson.dumps(entry).decode() for entry in personalizations]
        people = list(people)
        with self.writing() as connection:
            request_id = connection.execute(
                "INSERT INTO request (message_id, received_at, message, send_at, batch_id, size_bytes, "
                "substitution_order) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    message_id,
                    now,
                    orjson.dumps(shared).decode(),
                    message.get("send_at"),
                    message.get("batch_id"),
                    size_bytes,
                    substitution_order,
                ),
            ).lastrowid
            drops = _drops(connection, [person.email.casefold() for person in people])
            connection.executemany(
                "INSERT INTO letter (request_id, position, email, email_key, name, role, subject, attempt, "
                "personalization, send_at, dropped) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        request_id,
                        person.position,
                        person.email,
                        person.email.casefold(),
                        person.name,
                        person.role,
                        person.subject,
                        person.attempt,
                        own[person.position],
                        person.send_at,
                        drops.get(person.email.casefold()),
                    )
                    for person in people
                ],
            )
        return message_id

    def note_call(
        self,
        path: str,
        status: int | None,
        *,
        now: float,
        misbehaviour: str | None = None,
        personalizations: int | None = None,
        message_id: str | None = None,
    ) -> None:
        """Remember that a call came, and how it was answered (None: not at all)."""
        with self.writing() as connection:
            connection.execute(
                "INSERT INTO call (at, path, status, misbehaviour, personalizations, message_id) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (now, path, status, misbehaviour, personalizations, message_id),
            )

    # -- suppressions ---------------------------------------------------------------------------

    def suppress(self, kind: str, email: str, *, reason: str = "", status: str = "", now: float) -> None:
        with self.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO suppression (kind, email_key, email, reason, status, created) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (kind, email.casefold(), email, reason, status, int(now)),
            )

    def unsuppress(self, kind: str, emails: Sequence[str] | None) -> int:
        """Delete some addresses of a list, or all of it; how many there were."""
        with self.writing() as connection:
            if emails is None:
                return int(connection.execute("DELETE FROM suppression WHERE kind = ?", (kind,)).rowcount)
            keys = orjson.dumps([email.casefold() for email in emails]).decode()
            deleted = connection.execute(
                "DELETE FROM suppression WHERE kind = ? AND email_key IN (SELECT value FROM json_each(?))",
                (kind, keys),
            )
            return int(deleted.rowcount)

    # -- batches --------------------------------------------------------------------------------

    def new_batch(self, now: float) -> str:
        batch_id = secrets.token_urlsafe(33)
        with self.writing() as connection:
            connection.execute("INSERT INTO batch (id, created) VALUES (?, ?)", (batch_id, now))
        return batch_id

    def batch(self, batch_id: str) -> Row | None:
        return self.row("SELECT id, created, status FROM batch WHERE id = ?", (batch_id,))

    def set_batch_status(self, batch_id: str, status: str | None) -> None:
        with self.writing() as connection:
            connection.execute("UPDATE batch SET status = ? WHERE id = ?", (status, batch_id))

    # -- the rest -------------------------------------------------------------------------------

    def kept(self, name: str) -> str | None:
        found = self.row("SELECT value FROM keep WHERE name = ?", (name,))
        return found["value"] if found else None

    def keep(self, name: str, value: str) -> None:
        with self.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO keep (name, value) VALUES (?, ?)", (name, value))

    def empty(self) -> None:
        """Forget everything but the signing key."""
        with self.writing() as connection:
            for table in _EMPTIED:
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names above


def _drops(connection: Any, keys: Sequence[str]) -> dict[str, str]:
    found = connection.execute(
        "SELECT email_key, kind FROM suppression WHERE email_key IN (SELECT value FROM json_each(?))",
        (orjson.dumps(keys).decode(),),
    ).fetchall()
    return {row["email_key"]: DROP_REASONS[row["kind"]] for row in found if row["kind"] in DROP_REASONS}
