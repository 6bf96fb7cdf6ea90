"""The command ``mertag learn``: the owner's corrections in, a bundle of the owner's out, if it is better."""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import platformdirs
import typer

from mertag.cli import console
from mertag.cli import tag_options as opt
from mertag.cli.outputs import print_json
from mertag.cli.shared import open_tagger
from mertag.cli.view import count
from mertag.emotion import QUADRANTS
from mertag.errors import ConfigError
from mertag.files import path_text
from mertag.library.records import path_fields
from mertag_export.cli import OverwriteBundle

if TYPE_CHECKING:
    from mertag_export.corrections.judge import OwnersSongs, Verdict

MIN_CORRECTIONS = 20
MIN_ARTISTS = 5


def learn(
    paths: opt.Paths = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="BUNDLE", help="The new bundle's folder; if not given, `mine` in your data folder."),
    ] = None,
    labels: opt.Labels = None,
    include: opt.Include = None,
    exclude: opt.Exclude = None,
    at_most: Annotated[
        int, typer.Option(min=100, metavar="N", help="Hear so many of the songs that were left as they were.")
    ] = 1000,
    partly: Annotated[
        bool, typer.Option("--partly", help="You corrected only some of the songs that you hear differently.")
    ] = False,
    model: opt.ModelOption = None,
    device: opt.DeviceOption = opt.DeviceChoice.auto,
    workers: opt.Workers = None,
    overwrite: OverwriteBundle = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Learn from the moods that you corrected.

    Moods in the files that are not what the model says are corrections, whatever program made them. From them, and
    from the songs beside them that you left as they were, it learns which songs you hear on the other side of an axis;
    network and song classifier stay, and that is put behind them. If that is better, by cross-validation over artists
    of yours, and not by chance, a bundle of your own is written, for --model. No song is changed, nor is the model that
    comes with mertag.
    """
    if not paths:
        raise ConfigError("nothing to learn from; give songs or folders")
    from mertag.library.find import find_audio
    from mertag.library.tags import read_labels
    from mertag.library.tags.options import DEFAULT_LABELS
    from mertag.listen.bundle import load_bundle
    from mertag_export.corrections.bundle import write_corrected
    from mertag_export.corrections.embedding import bundle_with_embedding
    from mertag_export.corrections.hearing import hear
    from mertag_export.corrections.judge import judge, taught
    from mertag_export.corrections.moods import owners_moods
    from mertag_export.run import check_destination, new_folder_for

    def say(text: object) -> None:
        if not quiet:
            console.say(console.clean(text))

    def end(text: str, *, bundle: Path | None = None, verdict: Verdict | None = None) -> None:
        if not json:
            console.out(text)
            return
        judged = None if verdict is None else {**dataclasses.asdict(verdict), "better": verdict.better}
        counted = {"heard": len(decided), "corrections": wrong.total()}
        made = None if bundle is None else path_fields(bundle)
        print_json({"model": old.id, **counted, "verdict": judged, "bundle": made, "said": path_text(text)})

    def unreadable(path: Path, reason: str) -> None:
        console.warn(f"{console.clean(path)}: {console.clean(reason)}")

    folder = out or platformdirs.user_data_path("mertag") / "mine"
    check_destination(folder, overwrite=overwrite)
    words = DEFAULT_LABELS if labels is None else read_labels(labels)
    songs = find_audio(paths, include=include or (), exclude=exclude or (), on_error=unreadable)
    found = owners_moods(songs, labels=words, on_error=unreadable)
    say(f"{count(found.n, 'song')} with a mood: {len(found.owned)} of yours that name one of {', '.join(words)}")
    for text, n in Counter(found.other).most_common(5):
        say(f"  {text!r} is none of them: {count(n, 'song')}")
    old = load_bundle(model)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="mertag-learn-")))
        hearing = bundle_with_embedding(old, scratch)
        tagger, _ = open_tagger(hearing.folder, device.value, workers=workers, segment_hop_s=None)
        with tagger:
            heard = hear(found, tagger, at_most, say=say)
        decided, table = heard.decided, heard.table
        wrong = Counter((decided[path], mood) for path, mood in found.owned.items() if decided.get(path, mood) != mood)
        names = dict(zip(QUADRANTS, words, strict=True))
        say(f"corrections: {wrong.total()} of {count(len(decided), 'song')} that were heard ({old.id})")
        for (was, mood), n in wrong.most_common():
            say(f"  {names[was]} -> {names[mood]}: {n}")
        if table is None or wrong.total() < MIN_CORRECTIONS or _n_artists(table) < MIN_ARTISTS:
            end(f"too little to learn from: {MIN_CORRECTIONS} corrections and {MIN_ARTISTS} artists are needed")
            return
        say("comparing with the old classifier, on artists that it does not learn from")
        verdict = judge(table, partly=partly)
        say(_said(verdict))
        if not verdict.better:
            if verdict.some_were_left and not partly:
                say(
                    f"{verdict.share:.0%} of the songs that sound most like those that you corrected are corrected; "
                    "if you hear something else in the others, too, say so with --partly"
                )
            end(f"{old.id} is kept: what your corrections teach is no better, or by chance only", verdict=verdict)
            return
        fresh = stack.enter_context(new_folder_for(folder))
        bundle = write_corrected(old, fresh, taught(table, verdict), verdict, heard.projections)
    say(f"bundle: {folder} ({bundle.id})")
    following = f"mertag tag --model {shlex.quote(str(folder))} --write-tags {shlex.join(map(str, paths))}"
    end(following, bundle=folder, verdict=verdict)


def _n_artists(table: OwnersSongs) -> int:
    return len(set(next(iter(table.heads.values())).artist.tolist()))


def _said(verdict: Verdict) -> str:
    kept = verdict.n - verdict.n_corrected
    return (
        f"of {verdict.n_corrected} corrected songs {verdict.mended} come right, of {kept} others {verdict.spoilt} come "
        f"wrong: a gain of {verdict.gain:.0f}, where chance explains {verdict.chance:.0f}; of corrections dealt out at "
        f"random, {verdict.p:.0%} gain as much"
    )
