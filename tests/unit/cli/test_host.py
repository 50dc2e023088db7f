"""The option for another host: what is wrong with it is told before anything is done."""

from __future__ import annotations

import pytest

from tests.unit.cli.calls import Call


@pytest.mark.parametrize(
    "command", [("run", "boot"), ("demo",), ("build",), ("boot",), ("shell",)], ids=lambda words: words[0]
)
def test_address_of_another_form_is_a_usage_error(call: Call, command: tuple[str, ...]) -> None:
    done = call(*command, "--host=me@box")
    assert done.returncode == 2
    assert "ssh://user@box:port" in done.stderr
    assert not call.runs.exists()
