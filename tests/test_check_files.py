"""The check of the lengths and names of files finds what it is for."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECK = runpy.run_path(str(ROOT / ".ci" / "check_files.py"))


def write(path: Path, n_lines: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x = 1\n" * n_lines)


def test_the_project_has_no_file_that_is_too_long_and_no_two_modules_of_tests_with_one_name() -> None:
    assert CHECK["too_long"](ROOT) == []
    assert CHECK["same_names"](ROOT) == []


def test_a_line_too_many_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path / "mertag" / "full.py", 400)
    write(tmp_path / "mertag" / "cli" / "long.py", 401)
    (fault,) = CHECK["too_long"](tmp_path)
    assert fault.startswith(f"{Path('mertag/cli/long.py')}: 401 lines")


def test_two_modules_of_tests_with_one_name_are_a_fault(tmp_path: Path) -> None:
    for name in ("a/test_x.py", "b/test_x.py", "a/conftest.py", "b/conftest.py", "b/test_y.py"):
        write(tmp_path / "tests" / name, 1)
    write(tmp_path / "mertag" / "test_y.py", 1)
    (fault,) = CHECK["same_names"](tmp_path)
    assert fault == f"{Path('tests/a/test_x.py')} and {Path('tests/b/test_x.py')} have one name; rename one"
