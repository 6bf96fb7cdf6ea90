# What people and CI run, by the same words. Tools are those of the activated environment, else those of .venv.
#
#   pip install -c constraints.txt -e '.[dev]' brings `just`.

bin := env("VIRTUAL_ENV", justfile_directory() / ".venv") / "bin"
export PATH := bin + ":" + env("PATH")

# List these commands
default:
    @just --list

# Style, types, import rules, lengths and names of files; changes nothing
check:
    ruff check .
    ruff format --check .
    mypy
    lint-imports
    python .ci/check_files.py

# Mend the style
fmt:
    ruff check --fix .
    ruff format .

# The inner loop: no test that starts processes, trains, decodes many files or needs real audio
fast *options:
    pytest -n 2 -m "not slow and not command and not realdata" {{ options }}

# All tests but the slow ones
test *options:
    pytest -n 2 {{ options }}

# The same, with the share of the code that they run; fails below the floor in pyproject.toml
cover *options:
    pytest -n 2 --cov --cov-report=term:skip-covered {{ options }}

# Tests that take minutes
slow *options:
    pytest -m slow {{ options }}

# The documentation site, in site/; `just docs serve` shows it while it is written
docs action="build":
    NO_MKDOCS_2_WARNING=1 python -m mkdocs {{ action }}

# Whether what README and docs show is still true
docs-test *options:
    pytest tests/documentation tests/test_packaging.py {{ options }}

# The tests in a fresh environment: `just tests-on python3.13 newest`, `just tests-on python3.11 constraints-oldest.txt`
tests-on python constraints="constraints.txt" *options:
    .ci/tests {{ python }} {{ constraints }} {{ options }}

# The types as they are on Windows and macOS, whose calls differ
platforms:
    mypy --platform win32 --cache-dir .mypy_cache/win32
    mypy --platform darwin --cache-dir .mypy_cache/darwin

# Make constraints-oldest.txt again from the lower bounds in pyproject.toml (needs uv)
oldest:
    python .ci/oldest.py | uv pip compile - --python-version 3.11 --no-annotate --no-header -o constraints-oldest.txt

# Make the man page and the completions again, from the commands
man:
    python .ci/make_share.py

# The files of a release, checked: `just release dist`
release folder:
    .ci/release {{ folder }} {{ folder }}/venv

# A benchmark by its name: `just bench startup --repeats 3`
bench name *options:
    python benchmarks/{{ name }}.py {{ options }}
