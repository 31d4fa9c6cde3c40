"""The wheel is complete: a site can be laid out and an issue imported from it alone."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True)
    return next(folder.glob("newsletter_mailer-*.whl"))


def test_the_wheel_carries_templates_migrations_and_a_default_config(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "mailer/_site/config.toml",
        "mailer/_site/templates/email/edition.mjml.j2",
        "mailer/_site/examples/week-04.md",
        "mailer/migrations/versions/0001_the_first_schema.py",
        "mailer/web/static/",
        "subscribers/models.py",
    ):
        assert any(name.startswith(wanted) for name in names), wanted
    assert not any("tests/" in name or "secrets.toml" in name for name in names)


def test_an_installed_copy_lays_out_a_site_and_composes(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    site = tmp_path / "site"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAILER_")}
    environment["PYTHONPATH"] = str(tmp_path / "installed")

    def mailer(*words: str, cwd: Path) -> str:
        command = [sys.executable, "-m", "mailer", *words]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    mailer("init", str(site), cwd=tmp_path)
    assert "week-04" in mailer("import", "examples/week-04.md", cwd=site)
    mailer("preview", "week-04", "--out", "seen", cwd=site)
    assert (site / "seen/edition.html").stat().st_size > 20_000
