"""docs/sandbox.md names every setting, misbehaviour and door."""

from mailer.sandbox import control
from mailer.sandbox.faults import Kind
from mailer.sandbox.options import SandboxOptions
from tests.conftest import ROOT

TEXT = (ROOT / "docs/sandbox.md").read_text(encoding="utf-8")


def test_every_setting_misbehaviour_and_door_is_documented() -> None:
    words = [*SandboxOptions.model_fields, *Kind]
    assert [word for word in words if f"`{word}`" not in TEXT] == []
    paths = {route.path for route in control.routes()}
    assert [path for path in paths if path not in TEXT] == []
