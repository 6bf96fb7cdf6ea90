"""The man page and the completions that the wheel installs: made from the commands, and in place."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARE = ROOT / "share"
MAKER = runpy.run_path(str(ROOT / ".ci" / "make_share.py"))


def test_what_is_shipped_is_what_the_commands_say(tmp_path: Path) -> None:
    MAKER["main"](tmp_path)
    for place in ("man/man1/mertag.1", *MAKER["PLACES"].values()):
        made = (tmp_path / place).read_text(encoding="utf-8")
        assert (SHARE / place).read_text(encoding="utf-8") == made, f"{place}: make it again with `just man`"


def test_the_man_page_has_every_command_and_option() -> None:
    from mertag.cli.app import COMMANDS, load_command

    page = (SHARE / "man/man1/mertag.1").read_text(encoding="utf-8").replace("\\-", "-")
    for name in COMMANDS:
        assert f"\n.SS mertag {name}\n" in page
        _, _, rest = page.partition(f"\n.SS mertag {name}\n")
        section = rest.partition("\n.S")[0]
        for option in (option for parameter in load_command(name).params for option in parameter.opts):
            if option.startswith("--"):
                assert option in section, (name, option)


def test_troff_finds_no_fault_with_the_man_page() -> None:
    if shutil.which("groff") is None:
        pytest.skip("needs groff")
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z", str(SHARE / "man/man1/mertag.1")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (".TH at the start", r"\&.TH at the start"),
        ("'br", r"\(aqbr"),
        ("a\\b -x", r"a\eb \-x"),
        ("call `mertag info`\nfirst", r"call \fBmertag info\fR first"),
    ],
)
def test_no_text_is_taken_for_a_request(text: str, wanted: str) -> None:
    assert MAKER["roff"](text) == wanted


@pytest.mark.command
@pytest.mark.parametrize(
    ("line", "wanted"),
    [("mertag un", "undo"), ("mertag tag --overw", "--overwrite"), ("mertag tag --device c", "cuda")],
)
def test_bash_completes(line: str, wanted: str, tmp_path: Path) -> None:
    if sys.platform == "win32" or shutil.which("bash") is None:
        pytest.skip("needs bash")
    command = tmp_path / "mertag"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m mertag "$@"\n')
    command.chmod(0o755)
    script = f"""
        source {SHARE / MAKER["PLACES"]["bash"]}
        COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _mertag_completion mertag
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert wanted in done.stdout.split()


def test_zsh_gets_a_file_that_answers_the_call_that_loads_it() -> None:
    text = (SHARE / MAKER["PLACES"]["zsh"]).read_text(encoding="utf-8")
    assert text.startswith("#compdef mertag\n")
    assert text.endswith('[[ $zsh_eval_context[-1] == loadautofunc ]] && _mertag_completion "$@"\n')
