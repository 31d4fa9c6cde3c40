"""A site: the folder with config.toml, secrets.toml, templates and examples; laid out, never overwritten."""

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from mailer.config import CONFIG_FILE, SECRETS_FILE
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


def lay_out(folder: Path, *, webhook_public_key: str = "") -> Site:
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
        _write_private(folder / SECRETS_FILE, _secrets(webhook_public_key))
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


def _secrets(webhook_public_key: str) -> str:
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
api_key = "SG.sandbox-{secrets.token_urlsafe(16)}"
# Verifies the events that come back. The sandbox's own; SendGrid: Settings, Mail Settings, Event Webhook.
webhook_public_key = "{webhook_public_key}"
"""


def _write_private(path: Path, text: str) -> None:
    """Written with 0600 from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
