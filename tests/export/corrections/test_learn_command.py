"""`mertag learn` on files: what it says, when it writes a bundle, and that it changes nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mutagen
import numpy as np
import pytest
import soundfile
import tiny_bundle
from fake_tagger import FACTS, emotion
from owners_library import RELAXED, SAD, Library
from typer.testing import CliRunner, Result

from mertag.cli.app import app
from mertag.emotion import QUADRANTS, Target
from mertag.listen.bundle import load_bundle
from mertag.outcomes import Outcome, Tagged
from mertag_export.corrections.judge import OwnersSongs, Verdict, judge

pytestmark = pytest.mark.command


class Hearing(nullcontext[None]):
    """A tagger that hears a `Library`: the song of a file is the number in its name; what is over is noughts."""

    def __init__(self, library: Library, bundle: Path) -> None:
        super().__init__()
        self.library, self.bundle = library, load_bundle(bundle)
        old = {f.tobytes(): p for f, p in zip(library.features, library.old, strict=True)}
        self.models = SimpleNamespace(song=lambda target, x: old[x[:, :28].tobytes()])

    def features_many(self, paths: Iterable[Path]) -> Iterator[tuple[Outcome, dict[Target, Any]]]:
        for index, path in enumerate(paths):
            number = int(path.stem)
            heard, features = emotion(QUADRANTS[self.library.decided[number]]), self.library.features[number]
            behind = np.zeros((len(features), self.bundle.manifest.heads[0].embedding))
            behind[:, :16] = self.library.embedding[number]
            found = np.concatenate([features, behind], axis=1)
            yield Tagged(index=index, path=path, emotion=heard), {Target.QUADRANT: found}


@pytest.fixture(scope="module")
def library(request: pytest.FixtureRequest) -> Library:
    """Return a library whose genres are alike in their moods, unless a test asks for one where they differ."""
    return Library(260, alike=getattr(request, "param", True))


@pytest.fixture
def files(library: Library, tmp_path: Path) -> Path:
    """Return a folder in which every song has mertag's mood."""
    folder = tmp_path / "music"
    folder.mkdir()
    soundfile.write(tmp_path / "bare.flac", np.zeros(100, np.float32), 8000)
    for number, quadrant in enumerate(library.decided):
        path = Path(shutil.copyfile(tmp_path / "bare.flac", folder / f"{number}.flac"))
        tags = mutagen.File(path)
        tags["ARTIST"] = f"Artist {library.artist[number]}"
        tags["MOOD"], tags["MERTAG_QUADRANT"] = QUADRANTS[quadrant].label, str(QUADRANTS[quadrant])
        tags["MERTAG_MODEL"] = FACTS["model"]
        tags.save()
    return folder


def correct(path: Path, quadrant: int) -> None:
    tags = mutagen.File(path)
    tags["MOOD"] = QUADRANTS[quadrant].label
    tags.save()


@pytest.fixture
def learn(no_settings: None, library: Library, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    tiny_bundle.build(tmp_path / "model")
    monkeypatch.setattr("mertag_export.learn.open_tagger", lambda model, *_, **__: (Hearing(library, model), FACTS))
    monkeypatch.setenv("MERTAG_BUNDLE", str(tmp_path / "model"))

    def call(*options: str) -> Result:
        before = {path: path.read_bytes() for path in files.iterdir()}
        result = CliRunner().invoke(app, ["learn", str(files), "--out", str(tmp_path / "mine"), *options])
        assert {path: path.read_bytes() for path in files.iterdir()} == before
        return result

    return call


BOTH = pytest.mark.parametrize(
    "library", [False, True], ids=["genres differ in their moods", "genres are alike in them"], indirect=True
)


@BOTH
def test_systematic_corrections_give_a_bundle_of_the_owners(
    learn: Any, library: Library, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts: list[Verdict] = []

    def judge_once(songs: OwnersSongs, **options: bool) -> Verdict:
        """Judge the same songs for the first call only: it takes seconds."""
        if not verdicts:
            verdicts.append(judge(songs, **options))
        return verdicts[0]

    monkeypatch.setattr("mertag_export.corrections.judge.judge", judge_once)
    wrong = np.flatnonzero((library.decided == RELAXED) & (library.genre == 1))
    for number in wrong[: len(wrong) * 4 // 5]:
        correct(files / f"{number}.flac", SAD)
    result = learn()
    assert result.exit_code == 0, result.output
    assert f"Relaxed -> Sad: {len(wrong) * 4 // 5}" in result.stderr
    assert result.stdout.startswith(f"mertag tag --model {tmp_path / 'mine'} --write-tags")
    assert load_bundle(tmp_path / "mine").manifest.name == "tiny-mine"
    assert 0 < load_bundle(tmp_path / "mine").manifest.heads[0].embedding <= 32  # 260 songs
    assert learn().exit_code == 2  # a bundle is there
    again = learn("--overwrite", "--json")
    assert again.exit_code == 0
    found = json.loads(again.stdout)
    assert (found["bundle"], found["model"]) == ({"path": str(tmp_path / "mine")}, load_bundle(tmp_path / "model").id)
    assert found["corrections"] == len(wrong) * 4 // 5
    assert found["verdict"]["better"]
    assert found["said"] == result.stdout.rstrip()


def test_random_corrections_keep_the_old_classifier(learn: Any, library: Library, files: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in rng.permutation(len(library.decided))[:60]:
        correct(files / f"{number}.flac", (library.decided[number] + rng.integers(1, 4)) % 4)
    result = learn()
    assert result.exit_code == 0, result.output
    assert "corrections: 60 of" in result.stderr
    assert "is kept: what your corrections teach is no better" in result.stdout
    assert not (tmp_path / "mine").exists()


def test_few_corrections_are_too_few(learn: Any, library: Library, files: Path, tmp_path: Path) -> None:
    correct(files / "0.flac", (library.decided[0] + 1) % 4)
    result = learn("--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert "too little to learn from" in found["said"]
    assert (found["bundle"], found["verdict"], found["corrections"]) == (None, None, 1)
    assert not (tmp_path / "mine").exists()
