"""Whether corrections help songs that were not corrected: a listener who disagrees with the model in one genre only.

    python benchmarks/corrections.py 4Q_FOLDER --listener "Pop/Rock: Angry -> Happy" --listener "Jazz: Relaxed -> Sad"

The songs are the clips of 4Q, the genres those of its metadata. The listener hears what the model hears, but for the
songs of one genre to which it gives one mood. Two thirds of these are corrected, or as many as `--corrections` says;
the others, and a fifth of the songs on which both agree, are put aside. What `mertag learn` makes of the rest is said:
its verdict, and on how many of the songs put aside the new classifier agrees with the listener; from the features
alone, and with the embedding. Another listener corrected only half of these, leaves the others as they are, and says so
(`--partly`), or does not. One more has the same number of corrections, dealt out at random. Hearing takes as long as
`mertag tag` does.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mertag.emotion import QUADRANT_LABELS, Target
from mertag.listen.bundle import load_bundle
from mertag.listen.tagger import Tagger
from mertag.listen.windows import FEATURES_PER_CLASS
from mertag_export.corrections.classifier import Songs
from mertag_export.corrections.embedding import bundle_with_embedding
from mertag_export.corrections.hearing import hear
from mertag_export.corrections.judge import OwnersSongs, classes_of, decisions, judge, taught
from mertag_export.corrections.moods import OwnersMoods
from mertag_train.arrays import Ints

LABELS = list(QUADRANT_LABELS.values())


def main() -> None:
    """Hear the clips once, and let each listener correct them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--listener", action="append", required=True, metavar="GENRE: MOOD -> MOOD")
    parser.add_argument("--corrections", type=int, metavar="N", help="so many songs are corrected, at most")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--limit", type=int, help="hear so many clips")
    options = parser.parse_args()
    (table,) = options.folder.rglob("panda_dataset_taffc_metadata.csv")
    with table.open(encoding="utf-8", newline="") as file:
        rows = {row["Song"]: row for row in csv.DictReader(file)}
    paths = sorted(path for path in options.folder.rglob("*.mp3") if path.stem in rows)
    paths = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))[: options.limit]]
    with TemporaryDirectory() as scratch:
        wide = bundle_with_embedding(load_bundle(options.model), Path(scratch))
        with Tagger(wide.folder) as tagger:
            heard = hear(OwnersMoods(owned={}, left=paths), tagger, len(paths), say=print)
    assert heard.table is not None
    clips = [rows[path.stem] for path in heard.decided]
    artist = np.unique([row["Artist"] or row["Song"] for row in clips], return_inverse=True)[1].astype(np.int64)
    songs = OwnersSongs(
        heads={target: replace(of, artist=artist) for target, of in heard.table.heads.items()}, mood=heard.table.mood
    )
    for text in options.listener:
        genre, _, moods = text.partition(":")
        was, mood = (LABELS.index(word.strip()) for word in moods.split("->"))
        of_genre = np.array([genre.strip() in row["GenresStr"].split("; ") for row in clips])
        print(f"\n{text}: {int((of_genre & (songs.mood == was)).sum())} of {int((songs.mood == was).sum())} songs")
        disagree = of_genre & (songs.mood == was)
        n = int(disagree.sum())
        compare(songs, disagree, mood, n * 2 // 3 if options.corrections is None else min(options.corrections, n))


def compare(songs: OwnersSongs, disagree: np.ndarray, mood: int, n_corrected: int) -> None:
    """Print what is learnt from some of the songs of which the listener says `mood`."""
    rng = np.random.default_rng(0)
    truth = np.where(disagree, mood, songs.mood)
    corrected = rng.permutation(np.flatnonzero(disagree))[:n_corrected]
    agreed = rng.permutation(np.flatnonzero(~disagree))[: int((~disagree).sum()) // 5]
    aside = np.concatenate([np.setdiff1d(np.flatnonzero(disagree), corrected), agreed])
    rest = np.setdiff1d(np.arange(len(truth)), aside)
    dealt = songs.mood.copy()
    at_random = rng.permutation(rest)[: len(corrected)]
    dealt[at_random] = (dealt[at_random] + rng.integers(1, 4, len(at_random))) % 4
    half = truth.copy()
    half[corrected[len(corrected) // 2 :]] = songs.mood[corrected[len(corrected) // 2 :]]
    for name, heard, owners, partly in (
        ("features", without_embedding(songs), truth, False),
        ("with embedding", songs, truth, False),
        ("half of them", songs, half, False),
        ("half, --partly", songs, half, True),
        ("at random", songs, dealt, False),
        ("random, --partly", songs, dealt, True),
    ):
        learnt = some(heard.with_moods(owners), rest)
        verdict = judge(learnt, partly=partly)
        line = f"{name:<16} {verdict.n_corrected} corrected (share {verdict.share:.2f}): mended {verdict.mended}"
        line += f", spoilt {verdict.spoilt}"
        line += f", gain {verdict.gain:.0f} (chance {verdict.chance:.0f}, p {verdict.p:.2f})"
        line += ": taken" if verdict.better else ": refused"
        if owners is not dealt:
            new = taught(learnt, verdict)
            found = decisions({t: new[t].of_songs(of) for t, of in some(heard, aside).heads.items()})
            before, after = np.mean(songs.mood[aside] == truth[aside]), np.mean(found == truth[aside])
            line += f"; {len(aside)} songs put aside: agreement {before:.3f} -> {after:.3f}"
            theirs = found[: len(aside) - len(agreed)] == mood
            line += f"; of {len(theirs)} of the genre {theirs.sum()} come right"
        print(line, flush=True)


def some(songs: OwnersSongs, index: Ints) -> OwnersSongs:
    """Return some of the songs."""
    return OwnersSongs(heads={target: of.of(index) for target, of in songs.heads.items()}, mood=songs.mood[index])


def without_embedding(songs: OwnersSongs) -> OwnersSongs:
    """Return the songs with the features alone."""

    def narrow(target: Target, of: Songs) -> Songs:
        n = FEATURES_PER_CLASS * (int(classes_of(np.arange(4), target).max()) + 1)
        return replace(of, features=[x[:, :n] for x in of.features])

    return OwnersSongs(heads={target: narrow(target, of) for target, of in songs.heads.items()}, mood=songs.mood)


if __name__ == "__main__":
    main()
