"""What a process does once and then has ready: reading and drawing a letter, before the others are forked."""

import tempfile
from pathlib import Path

from mailer import site
from mailer.service import Mailer

with tempfile.TemporaryDirectory() as folder, site.without_variables():
    Mailer.init(Path(folder) / "weekly")
    with Mailer.open(Path(folder) / "weekly" / "config.toml") as mailer:
        mailer.import_issue(Path(folder) / "weekly" / "examples" / "week-04.md")
        mailer.preview("week-04", ["car-t"])
