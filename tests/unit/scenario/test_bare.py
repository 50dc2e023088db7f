from __future__ import annotations

from pathlib import Path

import pytest

from lab.journal import Journal
from lab.scenario import runner
from lab.scenario.subject import Subject

LOOKS = """
def test_it(pytestconfig):
    plugins = pytestconfig.pluginmanager
    assert (plugins.hasplugin("lab.scenario.plugin"), plugins.hasplugin("xdist")) == (True, False)
    assert pytestconfig.getoption("--samples")
"""


def test_bare_run_has_the_labs_own_plugin_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_it.py").write_text(LOOKS)
    monkeypatch.chdir(tmp_path)
    options = ["-p", "no:terminal", "--samples"]
    with Journal() as journal:
        outcome = runner.run(Subject(), ["test_it.py"], journal, tmp_path, options=options, bare=True)
    assert (outcome.passed, outcome.error) == (1, "")
