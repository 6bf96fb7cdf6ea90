"""How fast songs are tagged, beside the work that cannot be avoided, and beside a plain script.

    python benchmarks/tag.py ~/Music/album --json tag.json
    python benchmarks/tag.py recordings/*.ogg --make mp3 flac opus m4a --minutes 4 --json long.json
    python benchmarks/tag.py --library 10 1000 --lengths 600 36000 --json memory.json

Six kinds of work on the same files, in turn and several times, each in a process of its own:

- mertag: end to end, `tag_library` with nothing to write, from the open model to the last song;
- mertag+tags: the same with --write-id3, on fresh copies of the files;
- idle: the same with a network that takes no time: what a faster device could reach with as many decoders;
- bare: the same session, mel included, on the blocks of audio that the tagger gives it, which lie ready, as many calls
  at once;
- decode: the decoder processes alone;
- plain: librosa.load, librosa's mel, eager fp32 torch with the same weights, one song at a time.

Ratios are medians of the ratios within one turn: so they hold on a machine that others use too, where seconds do not.
"Own" is the processor time that mertag's process takes beside the network, as a share of the wall time; "busy" is the
share of the time in which the network's threads had work.
With --library and --lengths only memory is measured, on made-up files and with few segments a file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from material import FORMATS, RATE, stereo, write
from processes import Measured, machine, me, measure, ratio, spread
from tagging_work import KINDS

from mertag.library.find import find_audio
from mertag.listen.sessions import usable_cores

LIBRARY_CLIP_S = 30.0
_LIBRARY_HOP = "30"  # seconds: one segment a clip
_LENGTH_HOP = "60"
_PIECE_S = 120.0


def main() -> None:
    """Measure what was asked for; print it, and write it as JSON."""
    options = parsed()
    result: dict[str, Any] = {"machine": machine(options.threads), "command": " ".join(sys.argv[1:])}
    print(result["machine"])
    with tempfile.TemporaryDirectory(prefix="mertag-bench-") as folder:
        if options.paths or not (options.library or options.lengths):
            for name, files in groups(options, Path(folder)).items():
                result[name] = speed(name, files, options, Path(folder))
        if options.library:
            result["memory_by_library"] = memory_by_library(options.library, session_options(options), Path(folder))
        if options.lengths:
            result["memory_by_length"] = memory_by_length(options.lengths, session_options(options), Path(folder))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="songs and folders; noise is made if there are none")
    parser.add_argument("--every", type=int, default=1, help="take only every n-th song")
    parser.add_argument("--make", nargs="+", choices=tuple(FORMATS), help="encode the songs anew, in these formats")
    parser.add_argument("--minutes", type=float, default=4.0, help="length of what --make makes")
    parser.add_argument("--copies", type=int, default=2, help="how many files of each format --make makes")
    parser.add_argument("--no-plain", action="store_true", help="leave the plain script out (it needs mertag[export])")
    parser.add_argument("--no-idle", action="store_true", help="leave out the network that takes no time")
    parser.add_argument("--no-tags", action="store_true", help="leave --write-id3 out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--library", nargs="+", type=int, metavar="FILES", help="memory by size of the library")
    parser.add_argument("--lengths", nargs="+", type=int, metavar="SECONDS", help="memory by length of a track")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--workers", type=int, help="decoder processes; if not given, as many as `mertag tag` takes")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def groups(options: argparse.Namespace, folder: Path) -> dict[str, list[Path]]:
    """Return the files to measure, by the name of what they are."""
    found = list(find_audio(options.paths)) if options.paths else []
    if not options.make and found:
        return {"files": found[:: options.every]}
    samples = stereo(found, options.minutes * 60)
    made: dict[str, list[Path]] = {}
    for suffix in options.make or ["mp3"]:
        first = write(folder / f"0.{suffix}", samples)
        rest = [shutil.copy(first, folder / f"{number}.{suffix}") for number in range(1, options.copies)]
        made[suffix] = [first, *map(Path, rest)]
    return made


def session_options(options: argparse.Namespace) -> list[str]:
    """Return the options that every kind of work takes."""
    named = {"model": options.model, "device": options.device, "precision": options.precision}
    named |= {"threads": options.threads, "workers": options.workers}
    return [part for name, value in named.items() if value is not None for part in (f"--{name}", str(value))]


def speed(
    name: str,
    files: list[Path],
    options: argparse.Namespace,
    folder: Path,
    *,
    on_run: Callable[[str, Measured], None] = lambda kind, measured: None,
) -> dict[str, Any]:
    """Measure all kinds of work on the same files, in turn; `on_run` is told each run that counts."""
    left_out = {"plain": options.no_plain, "mertag+tags": options.no_tags, "idle": options.no_idle}
    kinds = [kind for kind in KINDS if not left_out.get(kind)]
    runs: dict[str, list[Measured]] = {kind: [] for kind in kinds}
    for turn in range(options.repeats + 1):
        for kind in kinds:
            if turn == 0 and kind not in ("mertag", "decode"):  # warms the disk, and remembers the precision
                continue
            taken = files
            if kind == "mertag+tags":
                taken = fresh_copies(files, folder / "copies")
            measured = measure([*me("tagging_work.py"), kind, *session_options(options)], given=taken)
            if turn:
                runs[kind].append(measured)
                on_run(kind, measured)
    return report(name, files, runs)


def fresh_copies(files: list[Path], folder: Path) -> list[Path]:
    """Copy files, not their permissions, into an emptied folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return [Path(shutil.copyfile(path, folder / f"{number}-{path.name}")) for number, path in enumerate(files)]


def report(name: str, files: list[Path], runs: dict[str, list[Measured]]) -> dict[str, Any]:
    """Print what was found, and return it."""
    seconds = {kind: [run.said["seconds"] for run in done] for kind, done in runs.items()}
    cpu_s = {kind: [run.said["cpu_s"] for run in done] for kind, done in runs.items()}
    peaks = {kind: [run.peak_mb for run in done if run.peak_mb] for kind, done in runs.items()}
    audio_s = runs["decode"][0].said["audio_s"]
    ours = runs["mertag"]
    pairs = {
        "mertag to bare": ("mertag", "bare"),
        "mertag+tags to bare": ("mertag+tags", "bare"),
        "plain to mertag": ("plain", "mertag"),
        "decode to mertag": ("decode", "mertag"),
        "decode to idle": ("decode", "idle"),
    }
    known = {text: pair for text, pair in pairs.items() if set(pair) <= set(runs)}
    result: dict[str, Any] = {
        "files": len(files),
        "audio_s": audio_s,
        "segments": runs["bare"][0].said["segments"],
        "model": ours[0].said["model"],
        "turns": len(ours),
        "seconds": seconds,
        "cpu_s": cpu_s,
        "peak_mb": {kind: max(found) if found else None for kind, found in peaks.items()},
        "ratios": {text: ratio(seconds[a], seconds[b]) for text, (a, b) in known.items()},
        "cpu_ratios": {text: ratio(cpu_s[a], cpu_s[b]) for text, (a, b) in known.items()},
        "shares": {name: statistics.median(run.said[name] for run in ours) for name in ("own", "busy", "waiting")},
    }
    print(f"\n{name}: {len(files)} files, {audio_s / 60:.1f} min; {result['model']}; medians of {len(ours)} turns")
    print(f"{'':>14} {'seconds':>22} {'CPU seconds':>12} {'x real time':>12} {'peak MB':>8}")
    for kind, found in seconds.items():
        speed_up = audio_s / statistics.median(found)
        peak = f"{result['peak_mb'][kind] or 0:.0f}"
        print(f"{kind:>14} {spread(found):>22} {statistics.median(cpu_s[kind]):12.2f} {speed_up:12.0f} {peak:>8}")
    for text, found in result["ratios"].items():
        print(f"{text}: {found:.2f} (of CPU seconds: {result['cpu_ratios'][text]:.2f})")
    print(", ".join(f"{name}: {share:.1%}" for name, share in result["shares"].items()))
    if "plain" in runs:
        theirs, mine = runs["plain"][0].said["decisions"], ours[0].said["decisions"]
        result["same_decisions"] = sum(mine.get(path) == theirs[path] for path in theirs) / max(1, len(theirs))
        print(f"decisions as the plain script's: {result['same_decisions']:.1%} of {len(theirs)} songs")
    return result


def memory_by_library(sizes: list[int], options: list[str], folder: Path) -> dict[str, Any]:
    """Measure libraries of 30-s FLAC clips, by the number of files; print and return the peaks in MB.

    The session does its full work on each block, but takes few segments of a file (a large segment hop): memory is
    bound by blocks, queues and buffers, and not by how many segments there are.
    """
    sample = write(folder / "clip.flac", stereo([], LIBRARY_CLIP_S))
    found: dict[str, float | None] = {}
    for size in sizes:
        library = folder / f"library-{size}"
        library.mkdir()
        files = [Path(shutil.copy(sample, library / f"{number:05}.flac")) for number in range(size)]
        found[f"{size} files"] = _peak(files, [*options, "--segment-hop", _LIBRARY_HOP])
        shutil.rmtree(library)
    return _told("by size of the library", found)


def memory_by_length(lengths_s: list[int], options: list[str], folder: Path) -> dict[str, Any]:
    """Measure one MP3 and one FLAC of each length; print and return the peaks in MB."""
    piece = stereo([], _PIECE_S)
    found: dict[str, float | None] = {}
    for suffix in ("mp3", "flac", "m4a"):
        for length_s in lengths_s:
            copies = max(1, round(length_s / (piece.shape[1] / RATE)))
            track = write(folder / f"long.{suffix}", piece, copies=copies)
            found[f"{suffix}, {length_s} s"] = _peak([track], [*options, "--segment-hop", _LENGTH_HOP])
            track.unlink()
    return _told("by length of a track", found)


def _peak(files: list[Path], options: list[str]) -> float | None:
    return measure([*me("tagging_work.py"), "mertag", *options], given=files).peak_mb


def _told(what: str, found: dict[str, float | None]) -> dict[str, Any]:
    print(f"\npeak memory of all processes, {what}:")
    for name, peak in found.items():
        print(f"{name:>18} {peak or 0:8.0f} MB")
    return {"peak_mb": found}


if __name__ == "__main__":
    main()
