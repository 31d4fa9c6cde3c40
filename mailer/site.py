"""A site: the folder with config.toml, secrets.toml, templates and examples; laid out, never overwritten."""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailer.config import CONFIG_FILE, ENV_PREFIX, SANDBOX_KEY_PREFIX, SECRETS_FILE
from subscribers.errors import NewsletterError

# Where the wheel carries what a site begins with; an editable install has it beside the package.
_PACKAGED = Path(__file__).with_name("_site")
_REPOSITORY = Path(__file__).parent.parent
KEY_BYTES = 32
PRIVATE_FILE = 0o600

GITIGNORE = """\
# Keys and people stay out of version control.
secrets.toml
data/
preview/
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A freshly laid out site: the folder and what was written into it."""

    folder: Path
    written: tuple[str, ...]


def shipped(name: str) -> Path:
    """A file or folder that comes with the product: config.toml, templates, examples."""
    packaged = _PACKAGED / name
    return packaged if packaged.exists() else _REPOSITORY / name


def lay_out(folder: Path) -> Site:
    """Write a complete site into `folder`. Refuses a folder that holds one already."""
    taken = [name for name in (CONFIG_FILE, SECRETS_FILE) if (folder / name).exists()]
    if taken:
        raise NewsletterError(
            f"'{folder}' holds a site already ({', '.join(taken)}); nothing was changed.",
            file=str(folder / taken[0]),
            cure="Choose another folder, or go on with the one that is there.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_private(folder / SECRETS_FILE, _secrets())
        if not (folder / ".gitignore").exists():
            (folder / ".gitignore").write_text(GITIGNORE, encoding="utf-8")
        for name in ("templates", "examples"):
            shutil.copytree(shipped(name), folder / name, dirs_exist_ok=True)
        # Last: a folder with a config.toml is a whole site.
        shutil.copyfile(shipped(CONFIG_FILE), folder / CONFIG_FILE)
    except OSError as error:
        raise NewsletterError(
            f"cannot write '{error.filename or folder}': {error.strerror}.",
            file=str(folder),
            cure="Choose a folder that you may write to.",
        ) from None
    return Site(folder, (CONFIG_FILE, SECRETS_FILE, ".gitignore", "templates/", "examples/"))


def variables() -> list[str]:
    """The `MAILER_…` variables that are set: commands obey them before a site's files."""
    return sorted(name for name in os.environ if name.startswith(ENV_PREFIX))


@contextmanager
def without_variables() -> Iterator[None]:
    """A site of its own: variables speak of another one, and of another database."""
    passed_over = {name: os.environ.pop(name) for name in variables()}
    try:
        yield
    finally:
        os.environ.update(passed_over)


def _secrets() -> str:
    return f"""\
# Keep this file private and in your backups. It is readable by you alone (0600) and ignored by git.

[web]
# Signs the links in letters. To change it, put a new one in front: the old one keeps old links working.
secrets = ["{secrets.token_urlsafe(KEY_BYTES)}"]

[database]
# Hashes of people who must never be mailed. Never change or lose it.
suppression_key = "{secrets.token_urlsafe(KEY_BYTES)}"

[sendgrid]
# The sandbox takes any key that begins with SG. SendGrid gives you a real one: Settings, API Keys.
api_key = "{SANDBOX_KEY_PREFIX}{secrets.token_urlsafe(16)}"
# Verifies the events that come back. The sandbox's own; SendGrid: Settings, Mail Settings, Event Webhook.
webhook_public_key = ""
"""


def write_webhook_key(folder: Path, public_key: str) -> None:
    """Put the key of the site's own sandbox into a fresh secrets.toml."""
    path = folder / SECRETS_FILE
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace('webhook_public_key = ""', f'webhook_public_key = "{public_key}"'), encoding="utf-8"
    )


def set_keys(config: Path, keys: Mapping[tuple[str, str], str | int]) -> None:
    """Set keys of a config.toml in place, comments kept; a missing key is added to its table."""
    lines = config.read_text(encoding="utf-8").splitlines()
    for (table, key), value in keys.items():
        shown = f"{key} = {value}" if isinstance(value, int) else f'{key} = "{value}"'
        _set_line(lines, table, key, shown)
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _set_line(lines: list[str], table: str, key: str, shown: str) -> None:
    heading = f"[{table}]"
    if heading not in lines:
        lines += ["", heading]
    start = lines.index(heading) + 1
    for position in range(start, len(lines)):
        if lines[position].startswith("["):
            break
        if lines[position].split("=")[0].strip() == key:
            lines[position] = shown
            return
    lines.insert(start, shown)


def _write_private(path: Path, text: str) -> None:
    """Written with 0600 from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
