from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.build.config import merge, parse, render
from lab.errors import ConfigError
from lab.port import own_ledger


def write(folder: Path, **fragments: str) -> list[Path]:
    paths = [folder / f"{name}.config" for name in fragments]
    for path, text in zip(paths, fragments.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def test_options_are_read_with_their_values() -> None:
    text = '# words\nCONFIG_A=y\n# CONFIG_B is not set\n\n  CONFIG_C="a b=c"  \nCONFIG_D=0x10\nCONFIG_E=n\n'
    assert parse(text) == {"CONFIG_A": "y", "CONFIG_B": "n", "CONFIG_C": '"a b=c"', "CONFIG_D": "0x10", "CONFIG_E": "n"}


def test_options_written_and_read_again_stay() -> None:
    options = {"CONFIG_B": "n", "CONFIG_A": "y", "CONFIG_C": '"x"'}
    assert render(options) == '# CONFIG_B is not set\nCONFIG_A=y\nCONFIG_C="x"\n'.replace(
        "# CONFIG_B is not set\nCONFIG_A=y\n", "CONFIG_A=y\n# CONFIG_B is not set\n"
    )
    assert parse(render(options)) == options


def test_fragments_that_agree_are_put_together(tmp_path: Path) -> None:
    paths = write(tmp_path, one="CONFIG_A=y\n# CONFIG_B is not set\n", two="CONFIG_B=n\nCONFIG_C=y\nCONFIG_A=y\n")
    assert merge(paths) == {"CONFIG_A": "y", "CONFIG_B": "n", "CONFIG_C": "y"}


@pytest.mark.parametrize(
    ("one", "two", "told"),
    [
        ("CONFIG_A=y", "CONFIG_A=n", "one.config wants CONFIG_A=y, two.config wants CONFIG_A=n"),
        ("# CONFIG_A is not set", "CONFIG_A=y", "one.config wants CONFIG_A=n, two.config wants CONFIG_A=y"),
        ("CONFIG_A=y\nCONFIG_A=n", "", "one.config wants CONFIG_A=y, one.config wants CONFIG_A=n"),
    ],
)
def test_options_that_disagree_name_both_files(tmp_path: Path, one: str, two: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        merge(write(tmp_path, one=one, two=two))


@pytest.mark.parametrize("line", ["CONFIG_A", "CONFIG_A y", "A=y", "-CONFIG_A=y", "CONFIG-A=y"])
def test_line_that_is_no_option_names_file_and_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"one.config:2: {line!r} is no option")):
        merge(write(tmp_path, one=f"# words\n{line}\n"))


def test_fragment_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere cannot be read \(No such file"):
        merge([tmp_path / "nowhere"])


def test_fragment_that_is_no_text_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"CONFIG_A=\xff\n")
    with pytest.raises(ConfigError, match="one cannot be read"):
        merge([tmp_path / "one"])


@pytest.mark.parametrize("variant", ["up", "smp"])
def test_own_fragments_agree(variant: str) -> None:
    folder = own_ledger().home / "config"
    options = merge([folder / f"{name}.config" for name in ("base", variant, "kvmd")])
    assert options["CONFIG_KVMD"] == "y"
    assert options["CONFIG_SMP"] == ("y" if variant == "smp" else "n")
