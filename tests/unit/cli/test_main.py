"""The command line as a person calls it: exit codes, messages, JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from lab import errors
from lab.cache import Cache
from lab.cleaning import BROUGHT, MADE_AGAIN
from lab.cli import app as application
from tests.unit.build.toykernel import TOY_TREE, fake_tools, fragment
from tests.unit.cli.calls import Call
from tests.unit.report import runs

README = Path(__file__).parents[3] / "README.md"
EXIT_CODES = {
    errors.UsageError: 2,
    errors.SourceError: 3,
    errors.DownloadError: 3,
    errors.RemoteError: 8,
    errors.PortError: 4,
    errors.ConfigError: 5,
    errors.CompileError: 6,
    errors.AuditError: 7,
    errors.HostError: 8,
    errors.MachineError: 8,
    errors.InfraError: 8,
    errors.BootError: 9,
    errors.GuestFault: 10,
    errors.AgentError: 10,
    errors.SubjectError: 10,
}


def leave(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> object:
    def raises(**_: object) -> None:
        raise error

    monkeypatch.setattr(application, "app", raises)
    with pytest.raises(SystemExit) as left:
        application.main()
    return left.value.code


@pytest.mark.parametrize(("kind", "code"), EXIT_CODES.items())
def test_error_leaves_with_its_code_and_says_all_it_knows(
    kind: type[errors.LabError], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave(monkeypatch, kind("it broke", doing="trying", seen=["the last line"], hint="another way")) == code
    said = capsys.readouterr().err
    assert said == "kvmd-lab: trying: it broke\n  | the last line\n  try: another way\n"


def test_every_error_of_the_tree_has_its_code_tested() -> None:
    def below(kind: type[errors.LabError]) -> set[type[errors.LabError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__() if child.__module__ == "lab.errors"))

    assert below(errors.LabError) - {errors.LabError} == set(EXIT_CODES)


def test_interrupt_leaves_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    assert leave(monkeypatch, KeyboardInterrupt()) == 130


def test_unknown_command_is_usage(call: Call) -> None:
    done = call("frobnicate")
    assert done.returncode == 2
    assert "frobnicate" in done.stderr
    assert "Traceback" not in done.stderr


def test_version_is_the_packages(call: Call) -> None:
    done = call("--version")
    assert (done.returncode, done.stdout) == (0, f"kvmd-lab {metadata.version('kvmd-lab')}\n")


def test_usage_error_leads_to_the_help_of_its_sub_command(call: Call) -> None:
    wrong = call("run", "--cpu", "2")
    assert wrong.returncode == 2
    assert "--cpus" in wrong.stderr
    assert wrong.stderr.endswith("  try: kvmd-lab run --help\n")
    assert call("frobnicate").stderr.endswith("  try: kvmd-lab --help\n")
    assert (call().returncode, call().stderr) == (2, "")


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("bis", "bisect"),
        ("run --see", "--seed --seeds"),
        ("run kvmd_r", "kvmd_regions"),
        ("demo --kernel 2.4.0-test1", "2.4.0-test1 2.4.0-test10 2.4.0-test11 2.4.0-test12"),
        ("mutants --mutant poll", "polling"),
    ],
)
def test_shell_completes_what_can_be_named(typed: str, wanted: str) -> None:
    script = Path(sys.executable).with_name("kvmd-lab")  # its name is part of the variable's
    words = {"COMP_WORDS": f"kvmd-lab {typed}", "COMP_CWORD": str(len(typed.split()))}
    environment = {**os.environ, "_KVMD_LAB_COMPLETE": "complete_bash", **words}
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, wanted.split())


def test_help_and_readme_name_every_sub_command(call: Call) -> None:
    commands = {each.name or getattr(each.callback, "__name__", "") for each in application.app.registered_commands}
    said = call("--help").stdout
    assert {name for name in commands if re.search(rf"│ {name} ", said)} == commands >= {"run", "demo", "clean"}
    (listed,) = re.findall(r"sub-command too: `\./kvmd-lab ([^`]+)`", README.read_text().replace("\n", " "))
    assert set(listed.split(" | ")) == commands


def test_kernels_lists_the_releases(call: Call) -> None:
    names = [row["name"] for row in json.loads(call("kernels", "--json").stdout)]
    assert {"2.3.99-pre1", "2.3.99-pre9", "2.4.0-test1", "2.4.0-test12"} <= set(names)


def test_kernels_lists_point_releases_that_the_user_has(call: Call, tmp_path: Path) -> None:
    call.trees = tmp_path / "trees"
    point = call.trees / "linux"
    point.mkdir(parents=True)
    makefile = "VERSION = 2\nPATCHLEVEL = 4\nSUBLEVEL = 0\nEXTRAVERSION = -test13-pre2\n"
    (point / "Makefile").write_text(makefile, encoding="ascii")
    rows = {row["name"]: row["where"] for row in json.loads(call("kernels", "--json").stdout)}
    assert rows["2.4.0-test13-pre2"] == "tree"
    assert list(rows).index("2.4.0-test12") + 1 == list(rows).index("2.4.0-test13-pre2")


def test_mirror_without_the_kernel_tells_what_to_give(call: Call) -> None:
    done = call("fetch", "--kernel", "2.3.99-pre3")
    assert done.returncode == 3
    assert "KVMD_LAB_TREES" in done.stderr
    assert "--tree" in done.stderr


def test_tree_of_another_version_is_refused_with_both_names(call: Call) -> None:
    done = call("fetch", "--kernel", "2.3.99-pre5", "--tree", TOY_TREE)
    assert done.returncode == 3
    assert "2.3.99-pre3" in done.stderr
    assert "2.3.99-pre5" in done.stderr


def test_tree_that_no_record_fits_is_refused_by_name(call: Call) -> None:
    done = call("port", "--tree", TOY_TREE, own_ledger=True)
    assert done.returncode == 4
    assert "record strings-over-line-ends should change" in done.stderr


def test_port_explains_each_record(call: Call) -> None:
    done = call("port", "--tree", TOY_TREE, "--explain")
    assert done.returncode == 0
    assert "[string]" in done.stdout


def test_build_says_what_it_made_and_then_that_nothing_changed(call: Call) -> None:
    first = json.loads(call("build", "--tree", TOY_TREE, "--json").stdout)
    second = json.loads(call("build", "--tree", TOY_TREE, "--json").stdout)
    assert Path(first["kernel"]["bzimage"]).is_file()
    assert (first["kernel"]["fresh"], second["kernel"]["fresh"]) == (True, False)
    assert first["kernel"]["key"] == second["kernel"]["key"]


def test_name_that_the_user_gives_a_tree_stands_in_the_manifest(call: Call) -> None:
    made = json.loads(call("build", "--tree", TOY_TREE, "--as", "2.3.99-pre3-5", "--json").stdout)
    assert (made["kernel"]["version"], made["manifest"]["version"]) == ("2.3.99-pre3-5", "2.3.99-pre3-5")


def test_dry_run_builds_nothing(call: Call) -> None:
    assert call("build", "--tree", TOY_TREE, "--dry-run").returncode == 0
    assert not (call.cache / "kernels").exists()


def test_fragment_that_disagrees_is_a_configuration_error(call: Call, tmp_path: Path) -> None:
    done = call("build", "--tree", TOY_TREE, "--fragment", fragment(tmp_path, "# CONFIG_KVMD is not set"))
    assert done.returncode == 5
    assert "mine.config" in done.stderr


def test_compile_error_shows_the_compilers_words(call: Call, tmp_path: Path) -> None:
    done = call("build", "--tree", TOY_TREE, "--fragment", fragment(tmp_path, "CONFIG_TOY_FAIL_COMPILE=y"))
    assert done.returncode == 6
    assert "error:" in done.stderr
    assert "log: " in done.stderr


def test_missing_compiler_names_the_package(call: Call) -> None:
    done = call("build", "--tree", TOY_TREE, "--cc", "gcc-99")
    assert done.returncode == 8
    assert "apt-get install gcc-99" in done.stderr


def test_doctor_names_what_is_missing(call: Call, tmp_path: Path) -> None:
    done = call("doctor", path=fake_tools(tmp_path / "bin", without=("ld", "objdump")))
    assert done.returncode == 8
    assert "binutils" in done.stdout
    words = call("doctor", "--missing", path=tmp_path / "bin").stdout.split()
    assert "binutils" in words
    assert "qemu-system-x86" in words
    assert "make" not in words
    assert "chromium" not in words
    assert "chromium" in call("doctor", "--missing", "--browser", path=tmp_path / "bin").stdout.split()


def test_unknown_scenario_lists_those_there_are(call: Call) -> None:
    done = call("run", "no_such_thing")
    assert done.returncode == 2
    assert "kvmd_regions" in done.stderr
    assert {"boot", "kvmd_regions", "user_memory"} <= set(call("run", "--list").stdout.split())


def test_run_without_a_tree_fails_as_the_source_did(call: Call) -> None:
    done = call.process("run", "boot", "--json", "--kernel=2.3.99-pre3")
    assert done.returncode == 3
    outcome = json.loads(done.stdout)["outcome"]
    assert (outcome["errors"], outcome["passed"]) == (1, 0)
    assert "KVMD_LAB_TREES" in outcome["error"]


def test_run_of_all_scenarios_without_a_source_says_so_once(call: Call, tmp_path: Path) -> None:
    done = call.process("run", "--tree", tmp_path / "none")
    assert (done.returncode, done.stderr.count(f"there is no {tmp_path / 'none'}")) == (3, 1)
    assert "collected" not in done.stdout
    done = call.process("run", "--tree", tmp_path / "none", "--json")
    outcome = json.loads(done.stdout)["outcome"]
    assert (outcome["errors"], len(outcome["broken"])) == (1, 1)


def test_run_tells_the_kernel_and_the_machine_that_it_takes(call: Call, tmp_path: Path) -> None:
    own = tmp_path / "test_own.py"
    own.write_text("def test_it(): pass")
    said = call.process("run", own, "--tree", TOY_TREE, "--ram", "20").stderr
    assert said.startswith("kvmd-lab: Linux 2.3.99-pre3 on 1 CPU, 20 MiB, 96 MiB of swap\n")


def test_run_gets_its_source_once(call: Call, tmp_path: Path) -> None:
    own = tmp_path / "test_own.py"
    own.write_text("def test_it(workbench): assert workbench.tree().version.text == '2.3.99-pre3'")
    done = json.loads(call.process("run", own, "--tree", TOY_TREE, "--json").stdout)
    assert done["outcome"]["passed"] == 1
    assert len(re.findall("source  ", call("report", done["folder"]).stdout)) == 1


def test_run_hands_on_what_was_asked_for(call: Call, tmp_path: Path) -> None:
    own = tmp_path / "test_own.py"
    asked = {"cpus": 2, "ram": 20, "swap": 7, "seed": 5, "seeds": 3}
    own.write_text(f"def test_it(pytestconfig): assert {{n: pytestconfig.getoption(n) for n in {asked}}} == {asked}")
    words = [f"--{name}={value}" for name, value in asked.items()]
    done = call.process("run", own, "--tree", TOY_TREE, "--json", *words)
    assert json.loads(done.stdout)["outcome"]["passed"] == 1, done.stdout


def test_samples_are_asked_for_by_run(call: Call, tmp_path: Path) -> None:
    own = tmp_path / "test_own.py"
    own.write_text("def test_it(pytestconfig): assert pytestconfig.getoption('--samples')")
    run = ("run", own, "--tree", TOY_TREE, "--json")
    counts = [json.loads(call.process(*run, *more).stdout)["outcome"] for more in ([], ["--samples"])]
    assert [(one["passed"], one["failed"]) for one in counts] == [(0, 1), (1, 0)]


def test_demo_without_a_tree_tells_the_reason_and_where_its_files_are(call: Call) -> None:
    done = call.process("demo", "--kernel=2.3.99-pre3")
    assert done.returncode == 3
    assert "no mirror gave it" in done.stdout
    assert "the run's folder" in done.stdout
    (page,) = call.runs.glob("*/report.html")
    assert f"its page, for a browser: {page}" in done.stdout


def test_report_of_a_run_tells_its_stages(call: Call) -> None:
    call.process("run", "boot", "--json", "--kernel=2.3.99-pre3")
    (run,) = call.runs.iterdir()
    assert "source     FAILED" in call("report", run).stdout
    told = json.loads(call("report", run, "--json").stdout)
    assert told["repeat"] == "kvmd-lab run boot --json --kernel=2.3.99-pre3"
    assert (told["verdict"], told["counts"]["error"], len(told["began"])) == ("error", 1, 25)
    assert call("report", call.cache).returncode == 2


def test_report_makes_a_page_json_or_lines_of_the_newest_run(call: Call, tmp_path: Path) -> None:
    assert call("report").returncode == 2
    run = runs.write(call.runs / "some-run", runs.bad_run())
    assert "scenario   failed" in call("report").stdout
    assert json.loads(call("report", "--json").stdout)["counts"]["failed"] == 1
    assert call("report", "--html").stdout == f"{run / 'report.html'}\n"
    assert "<h1>Linux 2.3.99-pre3</h1>" in (run / "report.html").read_text()
    assert call("report", run, "--output", tmp_path / "there.html").returncode == 0
    assert (tmp_path / "there.html").read_text() == (run / "report.html").read_text()
    assert call("report", "--json", "--html").returncode == 2
    assert call("report", "--output", tmp_path / "no" / "there.html").returncode == 2


def test_bench_says_at_once_what_it_cannot_measure_and_where_it_cannot_write(call: Call, tmp_path: Path) -> None:
    unknown = call("bench", "--figure", "bogus", "--output", tmp_path / "figures.json", "--tree", TOY_TREE)
    assert unknown.returncode == 2
    assert "--figure takes build_warm, boot, " in unknown.stderr
    assert list(tmp_path.glob("*.json")) == []
    for output in (tmp_path / "no" / "figures.json", tmp_path):
        refused = call("bench", "--output", output, "--tree", TOY_TREE)
        assert refused.returncode == 2
        assert f"{output} cannot be written" in refused.stderr


def test_clean_removes_what_can_be_made_again(call: Call) -> None:
    call("build", "--tree", TOY_TREE)
    assert {path.name for path in call.cache.iterdir()} - {".in-use"} <= {*MADE_AGAIN, *BROUGHT}
    assert str(call.cache / "kernels") in call("clean", "--dry-run").stdout
    assert (call.cache / "kernels").is_dir()
    assert "removed" in call("clean").stdout
    assert not (call.cache / "kernels").exists()
    assert (call.cache / "first-use").is_dir()
    assert call("clean", "--all").returncode == 0
    assert {path.name for path in call.cache.iterdir()} == {".in-use"}


def test_clean_is_refused_while_somebody_uses_the_cache(call: Call) -> None:
    call("build", "--tree", TOY_TREE)
    cache = Cache(call.cache)
    assert cache.find("kernels", "none") is None
    refused = call("clean")
    assert refused.returncode == 8
    assert "is in use" in refused.stderr
    assert (call.cache / "kernels").is_dir()
