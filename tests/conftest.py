"""Fixtures shared by all tests."""

from __future__ import annotations

import functools
import gc
import itertools
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from mertag.listen.bundle import Bundle

# One thread a process, child processes too: the networks of the tests are too small for more, and threads of several
# test processes that wait for the same cores take ten times as long. To be set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # tests that import onnxruntime themselves send nothing either

# What a busy machine takes for an example says nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

BROWSERS = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome", "microsoft-edge")
OF_THE_EXPORTED_RUN = {
    f"tests/export/{name}.py"
    for name in (
        "test_export_command",
        "test_export_failures",
        "test_export_golden",
        "test_export_graphs",
        "test_export_shared",
        "test_plain_example",
    )
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep the tests of a file in one process, for their fixtures; and all tests of the one exported run, with those
    that export a graph, too: torch's exporter takes seconds to load.
    """
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # the order is that of `pytest_collection_modifyitems`

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file, _, _ = nodeid.partition("::")
            return "the exported run" if file in OF_THE_EXPORTED_RUN else file

    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take seconds: what is short fills the end evenly, where several processes test."""
    long = {item.path for item in items if item.get_closest_marker("command")}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what was collected: the tests themselves, and the libraries that they import."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the runtime remembers (which precision is faster) out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MERTAG_BF16", "0")  # trainings give the same on every processor, in child processes too
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in ("MERTAG_BUNDLE", "MERTAG_PRECISION"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Hear SIGINT also where the suite runs in the background of a script, whose shell has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class HastyConnection(sqlite3.Connection):
    """A database whose commits outlive the process, and not a power cut."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return super().execute("PRAGMA synchronous = OFF" if sql.startswith("PRAGMA synchronous") else sql, *values)


@pytest.fixture(scope="session", autouse=True)
def hasty_databases() -> Iterator[None]:
    """Let no commit of this process wait for the disk: there are thousands, and no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sqlite3.connect", functools.partial(sqlite3.connect, factory=HastyConnection))
        yield


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a small but real bundle with a quadrant head; `tests/tiny_bundle.py` repeats its arithmetic."""
    import tiny_bundle

    return tiny_bundle.build(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real audio, which is not part of the project; skip where it is absent."""
    named = os.environ.get("MERTAG_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real audio is not here (set MERTAG_TEST_DATA to its folder)")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a Chromium without a window; skip where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="tests in a browser need the extra dev")
    with playwright.sync_playwright() as driver:
        installed = next(filter(None, map(shutil.which, BROWSERS)), driver.chromium.executable_path)
        if not Path(installed).is_file():
            pytest.skip(
                f"no browser: none of {', '.join(BROWSERS)} is on the PATH, "
                "and `playwright install chromium` has not been run"
            )
        opened = driver.chromium.launch(executable_path=installed, args=["--no-sandbox", "--mute-audio"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return places for a memory, one after the other; none is there before something is remembered in it."""
    folder = tmp_path_factory.mktemp("states")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_state(states: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a memory of its own: songs of one test must not be known in another."""
    monkeypatch.setenv("XDG_STATE_HOME", str(next(states)))


@pytest.fixture
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the wait for the disk, in tests that write many files and are not about power cuts."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the user's configuration file out."""
    monkeypatch.setenv("MERTAG_CONFIG", "")
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_: Path("/nowhere"))
