"""How mertag and others place the clips of 4Q, as each comes, and what that takes: docs/rivals.md.

    python benchmarks/rivals.py --data-dir DIR --vibenet ENV --sonara ENV --json rivals.json --markdown rivals.md

ENV is a virtual environment that holds the package and what it needs (``python -m venv ENV && ENV/bin/pip install
vibenet``). A rival whose environment is not named is left out, and the result says so. All hear the same files, one
after the other, each as one whole command (start, decoding, network, results) on the same processors, of which all are
given ``--processors`` (Linux only: elsewhere, as many as there are).

A row's quadrant comes by one of these rules. None was fitted to the labels; valence is right if Q1 and Q4 are told
from Q2 and Q3, arousal if Q1 and Q2 are told from Q3 and Q4.

- **mertag**: ``mertag tag --csv``, its column ``quadrant``. It learnt from 4Q. So its rows are: the clips that its
  training set aside, as the command says them now; and the cross-validation of all others, from its manifest, in which
  each clip was judged by a network that had not learnt it. On clips that it was trained on it is timed, and not judged.
- **VibeNet, at 0.5**: V+ if ``valence`` is above 0.5, A+ if ``energy`` is.
- **VibeNet, at its medians**: the same, with the medians of the two over these clips in place of 0.5. That is
  knowing of 4Q that half of its clips are V+, and half A+.
- **sonara, at 0.5**, and **at its medians**: as VibeNet, of ``analyze_batch(features=["valence", "energy", "mood"])``.
- **sonara, its own moods**: the largest of ``mood_happy`` (Q1), ``mood_aggressive`` (Q2), ``mood_sad`` (Q3) and
  ``mood_relaxed`` (Q4).
- **musicnn, zero shot**: a quadrant's score is the mean probability of its tags, by what the words mean: happy, party
  (Q1); metal, heavy metal, hard rock, punk (Q2; no tag means angry); sad (Q3); chill, chillout, Mellow, easy listening
  (Q4). The largest is taken.
- **musicnn, at its medians**: the same, each score divided by its median over these clips: listeners call much music
  metal and little sad.

A clip on which a rival says nothing is one that it got wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from processes import Measured, machine, me, measure
from rival_rules import Placed, Said, by_id, of_mertag, of_musicnn, of_sonara, of_vibenet, read_csv

from mertag.emotion import QUADRANTS, Target
from mertag_train.measure.metrics import wilson_interval

VIEWS = (Target.QUADRANT, Target.VALENCE, Target.AROUSAL)
SONARA = """
import json, sys, sonara
found = sonara.analyze_batch(sys.stdin.read().splitlines(), features=["valence", "energy", "mood"])
wanted = "valence", "energy", "mood_happy", "mood_aggressive", "mood_sad", "mood_relaxed"
print(json.dumps({f["path"]: {name: f[name] for name in wanted} for f in found if not f.get("error")}))
"""
ASIDE = "set aside by mertag's training"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How a method placed some clips: `right` of `clips`, by quadrant, valence and arousal; `of` says which clips."""

    method: str
    of: str
    clips: int
    right: Mapping[str, int]

    def cells(self) -> list[str]:
        """Return its accuracies with Wilson's 95 % intervals."""
        shown = []
        for view in VIEWS:
            low, high = wilson_interval(self.right[view], self.clips)
            shown.append(f"{self.right[view] / self.clips:.2f} ({low:.2f} to {high:.2f})")
        return shown

    def as_json(self) -> dict[str, Any]:
        """Return it with accuracies and intervals."""
        views = {
            view: {"accuracy": self.right[view] / self.clips, "interval": wilson_interval(self.right[view], self.clips)}
            for view in VIEWS
        }
        return asdict(self) | views


def judged(method: str, of: str, placed: Placed, labels: Placed) -> Row:
    """Return how many clips of `labels` were placed rightly; one that was not placed is wrong."""
    pairs = [(label, placed.get(clip)) for clip, label in labels.items()]
    told = [(label, found) for label, found in pairs if found is not None]
    right = {
        Target.QUADRANT: sum(label is found for label, found in told),
        Target.VALENCE: sum((label in "Q1 Q4") == (found in "Q1 Q4") for label, found in told),
        Target.AROUSAL: sum((label in "Q1 Q2") == (found in "Q1 Q2") for label, found in told),
    }
    return Row(method=method, of=of, clips=len(labels), right={str(view): n for view, n in right.items()})


def cross_validated(manifest: Mapping[str, Any]) -> Row:
    """Return mertag's row by the cross-validation that its manifest holds."""
    found = {view: manifest["metrics"]["cross_validation"][view]["song_classifier"] for view in VIEWS}
    n = int(found[Target.QUADRANT]["n"])
    right = {str(view): round(figures["accuracy"] * n) for view, figures in found.items()}
    return Row(method="mertag, cross-validated", of="the others, from its manifest", clips=n, right=right)


def set_aside(dataset: Any, here: Placed, manifest: Mapping[str, Any]) -> Placed | str:
    """Return the labels of the clips that the model's training set aside; or why they are not known."""
    from mertag_train.data.folds import split
    from mertag_train.learn.recipes import OURS

    trained = re.fullmatch(r"4q, (\d+) songs", manifest["dataset"])
    every = [song.id for song in dataset.songs if song.path is not None]
    if trained is None or int(trained[1]) != len(every):
        return f"the model was trained on {manifest['dataset']!r}, and here are {len(every)}: which were set aside?"
    by = {"fractions": OURS.fractions, "group": OURS.group, "seed": OURS.seed}  # as in the manifest's training_command
    aside = split(dataset.songs, Target.QUADRANT, **by).ids("test")
    n = manifest["metrics"]["quadrant"]["song_classifier"]["n"]
    if len(aside) != n:
        return f"the model's figures are of {n} clips, and the split has {len(aside)}: it was trained by another one"
    return {clip: here[clip] for clip in aside if clip in here}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Something to measure: its command, what it is given, how its answer is read, and its rows."""

    name: str
    version: str
    command: Sequence[str | Path]
    given: Sequence[Path] = ()
    speaks_json: bool = False
    answer: Callable[[Measured], Said]
    rows: Callable[[Said], Mapping[str, Placed]]


def version_in(env: Path, package: str) -> str:
    """Return the version of a package in an environment; raise SystemExit if it is not there."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    try:
        done = subprocess.run([env / "bin" / "python", "-c", code], capture_output=True, text=True, check=False)
    except OSError as error:
        raise SystemExit(f"{env}: no virtual environment ({error}). Name one that holds {package}.") from error
    if done.returncode:
        raise SystemExit(f"{env}: {package} is not installed there. {env}/bin/pip install {package}")
    return done.stdout.strip()


def tools_of(given: argparse.Namespace, folder: Path, clips: Sequence[Path], out: Path, version: str) -> list[Tool]:
    """Return what is to be measured, mertag first, musicnn last."""
    from importlib.metadata import version as here

    tag: list[str | Path] = [
        sys.executable,
        "-m",
        "mertag",
        "tag",
        folder,
        "--csv",
        out,
        "--no-state",
        "--device",
        "cpu",
        "--quiet",
    ]
    hear: list[str | Path] = [*me("musicnn_tags.py"), "--data-dir", given.data_dir, "--threads", str(given.processors)]
    tools = [
        Tool(
            name="mertag",
            version=f"{here('mertag')}, model {version}",
            command=tag,
            answer=lambda _: read_csv(out.read_text(encoding="utf-8")),
            rows=of_mertag,
        ),
    ]
    if given.vibenet:
        tools.append(
            Tool(
                name="VibeNet",
                version=version_in(given.vibenet, "vibenet"),
                command=[given.vibenet / "bin" / "vibenet", "-r", "-f", "csv", "--quiet", folder],
                answer=lambda done: read_csv(done.out),
                rows=of_vibenet,
            )
        )
    if given.sonara:
        tools.append(
            Tool(
                name="sonara",
                version=version_in(given.sonara, "sonara"),
                command=[given.sonara / "bin" / "python", "-c", SONARA],
                given=clips,
                speaks_json=True,
                answer=lambda done: by_id(done.said),
                rows=of_sonara,
            )
        )
    tools.append(
        Tool(
            name="musicnn",
            version="0.1.0",
            command=[*hear, "--every", str(given.every)],
            speaks_json=True,
            answer=lambda done: done.said,
            rows=of_musicnn,
        )
    )
    return tools


def heard(tool: Tool, labels: Placed, keep: Path | None) -> tuple[Said, Mapping[str, float]]:
    """Return what a tool says and the seconds it took; measured, unless that was kept, of these clips and version."""
    kept = None if keep is None else keep / f"{tool.name}.json"
    key = {"version": tool.version, "clips": sorted(labels)}
    if kept is not None and kept.exists():
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["of"] == key:
            return known["said"], known["cost"]
    done = measure(tool.command, given=tool.given, speaks=tool.speaks_json, memory=False)
    said, cost = tool.answer(done), {"cpu_s": done.cpu_s, "wall_s": done.wall_s}
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"of": key, "cost": cost, "said": said}), encoding="utf-8")
    return said, cost


def as_markdown(result: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Return the two tables."""
    aside = {row.method: row.cells()[0] for row in rows if row.of == ASIDE}
    lines = [
        f"Measured on {result['machine']}.",
        "",
        "| method | clips | quadrant | valence | arousal | quadrant, on the clips set aside |",
        "|---|---:|---|---|---|---|",
        *(
            f"| {row.method} | {row.clips} | {' | '.join(row.cells())} | {aside.get(row.method, '')} |"
            for row in rows
            if row.of != ASIDE or row.method == "mertag"
        ),
        "",
        "| command | version | processor seconds a clip | wall seconds a clip | without an answer |",
        "|---|---|---:|---:|---:|",
    ]
    for name, cost in result["costs"].items():
        per_clip = f"{cost['cpu_s_per_clip']:.3f} | {cost['wall_s_per_clip']:.3f}"
        lines.append(f"| {name} | {cost['version']} | {per_clip} | {cost['without_answer']} of {result['clips']} |")
    lines += [f"\n{name} is left out: {why}." for name, why in result["left_out"].items()]
    return "\n".join(lines) + "\n"


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="the data set 4Q")
    parser.add_argument("--vibenet", type=Path, metavar="ENV", help="virtual environment with vibenet")
    parser.add_argument("--sonara", type=Path, metavar="ENV", help="virtual environment with sonara")
    parser.add_argument("--processors", type=int, default=1, help="how many each command may use")
    parser.add_argument("--every", type=int, default=1, help="only every so many clips, for a try")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of what each said; a run that was stopped goes on")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure everything in turn; print the tables, and write them where asked for."""
    given = parsed()
    if given.processors < 1 or given.every < 1:
        raise SystemExit("--processors and --every are 1 or more.")
    from mertag.listen.bundle import default_bundle_path
    from mertag_train.data.datasets import read

    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), str(given.processors))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.processors])
    dataset = read("4q", given.data_dir)
    songs = [song for song in dataset.songs if song.path is not None][:: given.every]
    labels = {song.id: QUADRANTS[song.targets[Target.QUADRANT]] for song in songs}
    bundle = default_bundle_path()
    os.environ["MERTAG_BUNDLE"] = str(bundle)
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    model = f"{manifest['name']} {manifest['version']}"
    aside = set_aside(dataset, labels, manifest)
    rows: list[Row] = []
    result: dict[str, Any] = {"clips": len(songs), "costs": {}, "left_out": {}}
    for name in ("vibenet", "sonara"):
        if getattr(given, name) is None:
            result["left_out"][name] = f"no environment was named (--{name} ENV)"
    with tempfile.TemporaryDirectory(prefix="mertag-rivals-") as work:
        folder = Path(work) / "clips"
        folder.mkdir()
        clips = [folder / f"{song.id}.mp3" for song in songs]
        for clip, song in zip(clips, songs, strict=True):
            clip.symlink_to(Path(song.path or "").resolve())
        tools = tools_of(given, folder, clips, Path(work) / "mertag.csv", model)
        result["machine"] = machine(given.processors)
        for tool in tools:
            said, cost = heard(tool, labels, given.keep)
            for method, placed in tool.rows(said).items():
                if tool.name != "mertag":
                    rows.append(judged(method, "all", placed, labels))
                if isinstance(aside, str):
                    result["left_out"]["the clips set aside"] = aside
                else:
                    rows.append(judged(method, ASIDE, placed, aside))
            if tool.name == "mertag":
                rows.append(cross_validated(manifest))
            answered = set().union(*tool.rows(said).values())
            result["costs"][tool.name] = {
                "version": tool.version,
                **{f"{name}_per_clip": seconds / len(songs) for name, seconds in cost.items()},
                "without_answer": len(labels.keys() - answered),
            }
            print(f"{tool.name}: {cost['cpu_s']:.0f} s of processor time, {cost['wall_s']:.0f} s", flush=True)
    result["rows"] = [row.as_json() for row in rows]
    text = as_markdown(result, rows)
    print(text)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if given.markdown:
        given.markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
