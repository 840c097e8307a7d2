"""`.env.example` has all settings with their descriptions and defaults."""

import re
from pathlib import Path

from telco_stream.runtime.choices import variable_of
from telco_stream.settings import Settings, load, load_traced
from telco_stream.settings.tree import FIELDS

EXAMPLE = Path(__file__).parent.parent / ".env.example"


def test_example_has_every_setting_with_its_description() -> None:
    pairs = re.findall(r"^# (.+)\n(TELCO_STREAM_\w+)=", EXAMPLE.read_text(), re.MULTILINE)
    assert pairs == [(field.description, variable_of(name)) for name, field in FIELDS.items()]


def test_example_values_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(EXAMPLE.read_text())
    loaded = load_traced(environ={}, cwd=tmp_path)
    assert loaded.settings == Settings()
    assert {setting.origin.split()[0] for setting in loaded.resolved} == {".env"}


def test_example_properties_are_accepted_when_uncommented(tmp_path: Path) -> None:
    lines = re.findall(r"^# (TELCO_STREAM_KAFKA__\w+=.*)$", EXAMPLE.read_text(), re.MULTILINE)
    (tmp_path / "password").write_text("x")
    text = "\n".join(lines).replace("/run/secrets/kafka-password", "password")
    (tmp_path / ".env").write_text(text)
    assert len(load(environ={}, cwd=tmp_path).kafka) == len(lines) > 3
