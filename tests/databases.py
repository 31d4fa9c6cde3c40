"""Databases for tests: SQLite files, or with NEWSLETTER_TEST_DATABASE one of a PostgreSQL server each.

The variable names a server where databases may be made. One is a copy of a migrated template; when its
test is over it is emptied for the next, which is faster than another copy.
"""

import atexit
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, inspect, make_url, text
from sqlalchemy.pool import NullPool

from mailer import site
from mailer.config import load_settings
from mailer.database import Database
from mailer.service import identity
from mailer.service.rooms import utc_now

# Not MAILER_…: a site refuses those that it does not know, and processes of a run inherit it.
VARIABLE = "NEWSLETTER_TEST_DATABASE"
SERVER = os.environ.get(VARIABLE, "")

_in_use: list[str] = []  # by the test that runs
_clean: list[str] = []  # migrated, and empty again
_kept: list[str] = []  # until the run ends


def new_url(file: str | Path, *, migrated: bool = True) -> str:
    """A database of a test's own: the file of that name, or one of the server's (with its tables)."""
    if not SERVER:
        return f"sqlite:///{file}"
    if migrated and _clean:
        name = _clean.pop()
        _in_use.append(name)
        return _address(name)
    return _copied(_template() if migrated else "template1")


def lay_out(url: str) -> None:
    """Give a file that is not there yet its tables: a migrated one is copied, which is faster."""
    if not SERVER:
        file = Path(url.removeprefix("sqlite:///"))
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(migrated_file(), file)


@cache
def migrated_file() -> Path:
    """An empty SQLite database with its tables; made once for a process."""
    file = Path(tempfile.mkdtemp(prefix="mailer-tests-")) / "migrated.db"
    atexit.register(shutil.rmtree, file.parent)
    database = Database(f"sqlite:///{file}")
    database.upgrade()
    database.close()
    return file


def move_site(folder: Path) -> None:
    """Give a fresh site one of the server's databases instead of its file, and let it be its own."""
    if SERVER:
        url = new_url("data/mailer.db")
        site.set_keys(folder / "config.toml", {("database", "url"): url})
        database = Database(url)
        with database.ledger() as connection:
            identity.take(connection, identity.Home.of(load_settings(folder / "config.toml")), utc_now())
        database.close()


def copy_of(url: str) -> str:
    """A second database like this one of the server's, which nobody may be using."""
    return _copied(_name(url))


def drop(url: str) -> None:
    """Drop one before its test is over: a test of many steps needs many."""
    name = _name(url)
    _in_use.remove(name)
    _drop(name)


def keep(url: str) -> None:
    """Let one that was made in this test be there until the run ends."""
    name = _name(url)
    _in_use.remove(name)
    _kept.append(name)


def contents(database: Database) -> bytes:
    """Everything in it: the bytes of the file and its log, or every row of the server's."""
    if not SERVER:
        file = Path(database.url.removeprefix("sqlite:///"))
        return b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
    return "\n".join(rows(database)).encode()


def rows(database: Database) -> Iterator[str]:
    """Every row of every table, in the words of Python."""
    with database.reader() as connection:
        for table in sorted(inspect(connection).get_table_names()):
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):
                yield repr(tuple(row))


def after_each_test() -> None:
    """Empty what the test used, or drop what is no longer as it was; who is still connected is cut off."""
    while _in_use:
        name = _in_use.pop()
        if _is_emptied(name):
            _clean.append(name)
        else:
            _drop(name)


def after_all_tests() -> None:
    """Leave nothing on the server."""
    while names := _in_use or _clean or _kept:
        _drop(names.pop())
    _template.cache_clear()


def _is_emptied(name: str) -> bool:
    import psycopg  # an engine asks a server much before it says anything

    _run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name", name=name)
    address = _server().set(drivername="postgresql", database=name)
    try:
        with psycopg.connect(address.render_as_string(hide_password=False)) as connection:
            if connection.execute("SELECT version_num FROM alembic_version").fetchall() != [(_newest(),)]:
                return False
            connection.execute(_emptying())
    except psycopg.Error:  # the test has changed the tables themselves
        return False
    return True


@cache
def _emptying() -> str:
    """One block that deletes all rows, those that others refer to last, and starts every sequence again."""
    engine = create_engine(_address(_template()), poolclass=NullPool)
    with engine.connect() as connection:
        ordered = inspect(connection).get_sorted_table_and_fkc_names()
    tables = [table for table, _ in reversed(ordered) if table and table != "alembic_version"]
    engine.dispose()
    deletes = "".join(
        f'IF EXISTS (SELECT FROM "{table}") THEN DELETE FROM "{table}"; END IF; ' for table in tables
    )
    return (
        f"DO $$ DECLARE each record; BEGIN {deletes}"
        "FOR each IN SELECT sequencename FROM pg_sequences "
        "WHERE schemaname = 'public' AND last_value IS NOT NULL "
        "LOOP EXECUTE format('ALTER SEQUENCE %I RESTART', each.sequencename); END LOOP; END $$"
    )


@cache
def _newest() -> str:
    return Database(_address("postgres")).newest_version()


@cache
def _template() -> str:
    name = f"template_{uuid.uuid4().hex}"
    _run(f"CREATE DATABASE {name}")
    _kept.append(name)
    database = Database(_address(name))
    database.upgrade()
    database.close()
    return name


def _copied(template: str) -> str:
    name = f"test_{uuid.uuid4().hex}"
    _run(f"CREATE DATABASE {name} TEMPLATE {template}")
    _in_use.append(name)
    return _address(name)


def _drop(name: str) -> None:
    _run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@cache
def _engine() -> Engine:
    # Kept open: one connection serves a run.
    return create_engine(_server(), isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=0)


def _run(statement: str, **values: str) -> None:
    with _engine().connect() as connection:
        connection.execute(text(statement), values)


def _server() -> URL:
    """The server's address in the words of SQLAlchemy: others say `postgres://`."""
    return make_url(SERVER).set(drivername="postgresql+psycopg")


def _address(name: str) -> str:
    return _server().set(database=name).render_as_string(hide_password=False)


def _name(url: str) -> str:
    name = make_url(url).database
    assert name is not None
    return name
