"""Which mistakes of mertag's own code would hurt a file, and which reader would have noticed: docs/licences.md.

Usage: ``python benchmarks/second_readers.py FOLDER [--mistakes N] [--seed N] [--out FILE]``.

mertag checks each new copy with the code that wrote it, then with others. What others are worth shows only where that
code is wrong. So mistakes are made in it (`mistakes.py`), one at a time: a number that is one off, a comparison that is
turned round, a name with another letter, an order of bytes, a sign, ``and`` for ``or``. Copies that the wrong code
takes for right, and that differ from the right copy, are judged twice:

- **harm**: TagLib, FFmpeg or mutagen does not see a tag of others' that it saw in the old file, or not the mood that it
  sees in the right copy, or cannot read the file any more, or FFmpeg decodes other samples;
- **noticed**: by FFmpeg and by mutagen, as mertag asks them; and by tinytag, if that is installed, as if it knew what
  it sees in the right copy.

It takes about a second a mistake. FOLDER is one of awkward files, such as the tests of mutagen and of beets.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import json
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
from mistakes import LIMIT_S, MODULES, at_most, files, places  # noqa: E402

ALL_S = 240
MOST = 8
"""So many files are looked at of those that one mistake changes."""


def by_taglib(path: Path) -> dict[str, str] | None:
    """Return what TagLib sees; None if it cannot read a file."""
    import taglib

    try:
        with taglib.File(path) as file:
            return {key: "\n".join(value) for key, value in file.tags.items()}
    except OSError:
        return None


def by_mutagen(path: Path) -> dict[str, str] | None:
    """Return what mutagen sees; None if it cannot read a file."""
    import mutagen

    try:
        with at_most(LIMIT_S):
            found = mutagen.File(path)
    except (mutagen.MutagenError, TimeoutError, Exception):  # noqa: BLE001  whatever it stumbles over
        return None
    if found is None:
        return None
    tags = found.tags
    pairs = tags.items() if hasattr(tags, "items") else tags or ()
    return {str(key): str(value) for key, value in pairs}


def by_ffmpeg(path: Path) -> dict[str, str] | None:
    """Return what FFmpeg sees; None if it cannot read a file."""
    from mertag.library.tags.readers import ffmpeg

    found = ffmpeg.seen(path, path.name)
    return None if found is None else dict(found)


def samples_by_ffmpeg(path: Path) -> str | None:
    """Return the digest of what FFmpeg decodes; None if it cannot."""
    samples = hashlib.md5()
    try:
        with at_most(LIMIT_S), av.open(str(path)) as container:
            for frame in container.decode(audio=0):
                samples.update(np.ascontiguousarray(frame.to_ndarray()))
    except Exception:  # noqa: BLE001  whatever it stumbles over: it cannot decode it
        return None
    return samples.hexdigest()


def by_tinytag(path: Path) -> dict[str, str] | None:
    """Return what tinytag sees; None if it cannot read a file, or is not installed."""
    try:
        import tinytag

        with at_most(LIMIT_S):
            tag = tinytag.TinyTag.get(path, image=True)
        found = {
            key: repr(value) for key, value in tag.as_dict().items() if key not in ("filename", "filesize", "bitrate")
        }
        return {**found, "images": repr(tag.images.as_dict())}
    except Exception:  # noqa: BLE001  whatever it stumbles over: it cannot read it
        return None


def is_ours(key: str) -> bool:
    """Return whether a tag is one of mertag's."""
    return any(word in key.upper() for word in ("MOOD", "TMOO", "MERTAG"))


def lost(before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> list[str]:
    """Return the tags of others' that are not seen any more."""
    if before is None:
        return []
    if after is None:
        return ["the file cannot be read"]
    return [k for k, v in before.items() if not is_ours(k) and not after.get(k, "").startswith(v.rstrip())]


def mood_of(seen: Mapping[str, str] | None) -> bool:
    """Return whether a reader sees the mood."""
    return any(is_ours(k) and "Happy" in v for k, v in (seen or {}).items())


class File:
    """A file: what readers see of it, and of the right copy."""

    def __init__(self, old: Path, right: Path) -> None:
        self.old, self.right = old, right
        self.before = {name: read(old) for name, read in READERS.items()}
        self.after = {name: read(right) for name, read in READERS.items()}
        self.samples = samples_by_ffmpeg(right)
        self.tiny, self.right_tiny = by_tinytag(old), by_tinytag(right)

    def harm(self, new: Path) -> list[str]:
        """Return what a copy hurts."""
        found = []
        for name, read in READERS.items():
            seen = read(new)
            already = lost(self.before[name], self.after[name])
            found += [f"{name}: {key}" for key in lost(self.before[name], seen) if key not in already]
            if self.after[name] is not None and seen is None and self.before[name] is None:
                found.append(f"{name}: cannot read it")
            if mood_of(self.after[name]) and not mood_of(seen):
                found.append(f"{name}: mood")
        if self.samples is not None and samples_by_ffmpeg(new) != self.samples:
            found.append("FFmpeg: samples")
        return found

    def noticed(self, new: Path) -> set[str]:
        """Return which candidates notice."""
        from mertag.library import tags
        from mertag.library.tags import readers, second_opinion
        from mertag.library.tags.container import Source

        found, seen = set(), by_ffmpeg(new)
        if readers.hidden(self.before["FFmpeg"], seen):
            found |= {"FFmpeg, others' tags alone", "FFmpeg"}
        if self.tiny is not None:
            tiny = by_tinytag(new) or {}
            if any(tiny.get(k) != v for k, v in (self.right_tiny or {}).items()):
                found.add("tinytag")
        with self.old.open("rb") as old, self.right.open("rb") as right, new.open("rb") as file:
            container, wanted = tags.open_container(Source(old)), tags.open_container(Source(right)).fields
            blind = readers.blind_to(self.before["FFmpeg"], container)
            if not blind and readers.unseen(seen, container.fields, wanted):
                found.add("FFmpeg")
            with contextlib.suppress(TimeoutError), at_most(LIMIT_S):
                if second_opinion.worth_asking(container) and second_opinion.disagreement(
                    second_opinion.opinion_of(old, container.name),
                    second_opinion.opinion_of(file, container.name),
                    container.fields,
                    wanted,
                    first=isinstance(container, second_opinion.TaggedById3) and not container.tag.length,
                ):
                    found.add("mutagen")
        return found


READERS = {"TagLib": by_taglib, "FFmpeg": by_ffmpeg, "mutagen": by_mutagen}


def child(folder: Path, out: Path, right: Path | None, mistake: tuple[str, int] | None) -> str:
    """Write all files in a process of its own; return what the mistake was."""
    words = [sys.executable, str(ROOT / "benchmarks" / "mistakes.py"), str(folder), str(out)]
    words += ["--right", str(right)] if right else []
    words += ["--mistake", f"{mistake[0]}:{mistake[1]}"] if mistake else []
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=ALL_S, check=False)
    except subprocess.TimeoutExpired:
        return "(endless)"
    return done.stdout.strip()


def main() -> None:
    """Make mistakes, and print who noticed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mistakes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    av.logging.set_level(av.logging.PANIC)
    every = [
        (module, index)
        for module in MODULES
        for index, _ in enumerate(places(ast.parse((ROOT / "mertag/library/tags" / f"{module}.py").read_text())))
    ]
    chosen = random.Random(given.seed).sample(every, min(given.mistakes, len(every)))
    originals = files(given.folder)
    known: dict[int, File] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as work:
        right = Path(work) / "right"
        right.mkdir()
        child(given.folder, right, None, None)
        n_right = len(json.loads((right / "found.json").read_text()))
        print(f"{len(originals)} files, {n_right} of them written; {len(every)} places for a mistake", flush=True)
        for number, mistake in enumerate(chosen):
            out = Path(work) / f"{number}"
            out.mkdir()
            what = child(given.folder, out, right / "found.json", mistake)
            copies = sorted(path for path in out.iterdir() if (right / path.name).exists() and path.suffix != ".json")
            for new in random.Random(number).sample(
                copies, min(len(copies), MOST)
            ):  # others: refused by the right code
                i = int(new.stem)
                file = known.setdefault(i, None) or File(originals[i], right / new.name)  # type: ignore[call-overload]
                known[i] = file
                harm = file.harm(new)
                rows.append(
                    {
                        "mistake": what,
                        "file": originals[i].name,
                        "harm": harm,
                        "noticed": sorted(file.noticed(new)),
                    }
                )
                new.unlink()
            hurt = sum(1 for row in rows if row["mistake"] == what and row["harm"])
            print(f"{number + 1} {what}: {hurt} hurt", flush=True)
            if given.out:
                given.out.write_text(json.dumps(rows, indent=1))
    show(rows)


def show(rows: list[dict[str, Any]]) -> None:
    """Print how many harmful copies, and mistakes, each set of readers notices; of all, and of the owner's losses."""
    _table("hurt", [row for row in rows if row["harm"]])
    _table("lost the owner something", [r for r in rows if any(not what.endswith(": mood") for what in r["harm"])])


def _table(what: str, harmful: list[dict[str, Any]]) -> None:
    mistakes: dict[str, set[str]] = defaultdict(set)
    for row in harmful:
        mistakes[row["mistake"]] |= set(row["noticed"])
    print(f"{len(harmful)} copies that mertag's own check took for right {what}, by {len(mistakes)} mistakes")
    for names in (
        ("FFmpeg, others' tags alone",),
        ("FFmpeg, others' tags alone", "mutagen"),
        ("mutagen",),
        ("tinytag",),
        ("FFmpeg",),
        ("FFmpeg", "mutagen"),
        ("FFmpeg", "tinytag"),
    ):
        copies = sum(bool(set(names) & set(row["noticed"])) for row in harmful)
        by_mistake = sum(bool(set(names) & seen) for seen in mistakes.values())
        print(f"| {' and '.join(names)} | {copies} of {len(harmful)} | {by_mistake} of {len(mistakes)} |")


if __name__ == "__main__":
    main()
