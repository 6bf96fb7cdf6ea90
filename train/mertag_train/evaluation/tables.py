"""The paper's tables 1, 2 and 3 with ours beside them. A cell that was not run is empty.

Conventions: figures in percent with two decimals, as in the paper; with several seeds, mean ± standard deviation
over them. The paper does not say which F1 it prints: ours is that of the positive class for valence and arousal,
and the macro-F1 for the quadrant. The paper's own figures are never used in the place of ours.

Source: Y. Sun, X. Zhang, M. Zhou, W. Li, "Semi-Supervised Self-Learning Enhanced Music Emotion Recognition",
tables 1 to 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mertag.emotion import Target
from mertag.listen.windows import FrontEnd
from mertag_train.evaluation.durations import Duration
from mertag_train.evaluation.methods import METHODS, method
from mertag_train.evaluation.protocol import Protocol
from mertag_train.evaluation.sheet import Sheet
from mertag_train.evaluation.summary import Summary

DATASETS: Mapping[str, str] = {"pmemo": "PMEmo", "4q": "4Q", "eim": "EiM"}
"""The paper's names of the data sets, by ours, in its order."""

DURATIONS_S = (1, 2, 3, 4, 5)

TABLE_1: Mapping[str, tuple[int, tuple[int, ...]]] = {
    "pmemo": (767, (22_945, 22_184, 21_411, 20_640, 19_869)),
    "4q": (900, (26_957, 26_046, 25_135, 24_231, 23_330)),
    "eim": (1_000, (29_982, 28_981, 27_976, 26_973, 25_971)),
}
"""Songs, and segments of 1 to 5 seconds."""

TABLE_2: Mapping[str, tuple[tuple[float, float, float, float], ...]] = {
    "pmemo": (
        (77.43, 81.32, 85.42, 86.61),
        (78.71, 82.20, 84.20, 85.26),
        (83.19, 82.31, 84.49, 86.01),
        (82.11, 81.71, 81.20, 82.20),
        (82.69, 81.32, 84.42, 82.61),
    ),
    "4q": (
        (69.11, 67.32, 87.20, 86.67),
        (71.32, 72.45, 86.60, 86.70),
        (75.20, 77.37, 86.56, 86.14),
        (74.32, 76.55, 85.30, 86.65),
        (74.59, 77.05, 85.67, 86.51),
    ),
}
"""Valence accuracy and F1, arousal accuracy and F1, for segments of 1 to 5 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of table 3: our name of the data set, the method as printed, accuracy and F1, and keys of `NOTES`.

    A figure that the paper does not have is None.
    """

    dataset: str
    method: str
    valence: tuple[float | None, float | None] = (None, None)
    arousal: tuple[float | None, float | None] = (None, None)
    quadrant: tuple[float | None, float | None] = (None, None)
    notes: tuple[str, ...] = ()


TABLE_3: tuple[Row, ...] = (
    Row(dataset="pmemo", method="SVM [23]", valence=(70.43, 75.32), arousal=(71.49, 76.36), notes=("skin",)),
    Row(dataset="pmemo", method="2-Stage [8]", valence=(79.01, 83.20), arousal=(83.20, 83.20), notes=("same",)),
    Row(dataset="pmemo", method="Proposed*", valence=(79.01, 82.01), arousal=(81.20, 82.20), notes=("threshold",)),
    Row(
        dataset="pmemo", method="Proposed", valence=(83.19, 82.31), arousal=(85.42, 86.61), notes=("best", "threshold")
    ),
    Row(dataset="4q", method="2-Stage [8]", valence=(67.11, 67.11), arousal=(86.56, 86.56), notes=("same",)),
    Row(dataset="4q", method="Audio Embedding [24]", quadrant=(72.00, None), notes=("one_figure",)),
    Row(dataset="4q", method="SVM [17]", quadrant=(None, 76.41), notes=("f1",)),
    Row(dataset="4q", method="Proposed*", valence=(76.32, 76.45), arousal=(86.70, 86.50), quadrant=(74.39, 75.30)),
    Row(
        dataset="4q",
        method="Proposed",
        valence=(77.20, 78.37),
        arousal=(87.20, 86.67),
        quadrant=(76.49, 77.60),
        notes=("not_in_table_2",),
    ),
    Row(dataset="eim", method="Audio Embedding [24]", quadrant=(72.00, None), notes=("one_figure",)),
    Row(dataset="eim", method="Proposed*", quadrant=(72.90, 73.32), notes=("threshold",)),
    Row(dataset="eim", method="Proposed", quadrant=(75.81, 75.34), notes=("threshold",)),
)

NOTES: Mapping[str, str] = {
    "skin": "Not like with like: this SVM classifies skin conductance of listeners, not audio (Yin et al., 2019).",
    "same": "Accuracy and F1 are printed as the same number (for PMEmo, three of the four figures); the method is "
    "He and Ferguson's (2022).",
    "threshold": "The paper does not say at which rating its classes part (PMEmo: at 0.5 of the scale, three songs "
    "in four are positive on each axis).",
    "best": "The best of five segment durations for each axis, chosen on the figures themselves (3 s for valence, "
    "1 s for arousal, see table 2).",
    "one_figure": "The paper gives one figure, taken here for the accuracy (Koh and Dubnov, 2021).",
    "f1": "An F1, from its authors' own experiments (Panda et al., 2018), among accuracies.",
    "not_in_table_2": "The valence figures stand in no row of table 2, whose best is 75.20 (F1 77.37) at 3 s.",
}
"""Why a row is not to be compared with another without a second thought."""

AXES = (Target.VALENCE, Target.AROUSAL)
F1_OF = {Target.VALENCE: "positive_f1", Target.AROUSAL: "positive_f1", Target.QUADRANT: "macro_f1"}
WHOSE = ("paper", "ours")
HEADS = {Target.VALENCE: "V", Target.AROUSAL: "A", Target.QUADRANT: "Q"}
F1_NOTE = (
    "V: valence, A: arousal, Q: quadrant; percent. The paper does not say which F1 it prints; ours is the F1 of V+ and "
    "of A+, and for the quadrant the mean over the four classes."
)
DEFAULT_SEGMENT_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured on one data set; durations are by song id, and empty if table 1 was not asked for."""

    protocol: Protocol
    summaries: tuple[Summary, ...]
    durations: Mapping[str, Duration]


def table_1(found: Sequence[Measured]) -> list[Sheet]:
    """Return the numbers of segments: the paper's, by its rule, and full ones."""
    front_end = FrontEnd()
    rows: list[tuple[str, ...]] = []
    here = {one.protocol.dataset: one for one in found if one.durations}
    for name in dict.fromkeys((*DATASETS, *here)):
        songs, counts = TABLE_1.get(name, (None, (None,) * len(DURATIONS_S)))
        ours = list(here[name].durations.values()) if name in here else []
        for d, count in zip(DURATIONS_S, counts, strict=True):
            decoded = [clip.decoded(d, front_end) for clip in ours]
            known = [n for n in decoded if n is not None]
            rows.append(
                (
                    f"{name_of(name)}{' [1]' if name == 'eim' and d == 1 else ''}",
                    f"{d} ({d - 1})",
                    "" if songs is None else f"{songs:,}",
                    "" if count is None else f"{count:,}",
                    f"{len(ours):,}" if ours else "",
                    f"{sum(clip.by_paper(d) for clip in ours):,}" if ours else "",
                    f"{sum(clip.full(d) for clip in ours):,}" if ours else "",
                    f"{sum(known):,}" if ours and len(known) == len(ours) else "",
                )
            )
    notes = [
        "The paper's text says 744 songs of Emotion in Music, its table 1,000.",
        "By the paper's rule: min(30, ceil(duration)) - d + 1 a clip, which comes near its counts.",
        "Full: segments that lie whole in the duration that the file's header states.",
        "Decoded: segments that lie whole in the audio that a decoder gives, which is what training sees; known where "
        "the log-mels are (--log-mels).",
    ]
    columns = (
        "Data set",
        "Segment s (overlap)",
        "Songs, paper",
        "Segments, paper",
        "Songs, here",
        "Paper's rule [2]",
        "Full [3]",
        "Decoded [4]",
    )
    title = "Table 1: numbers of samples after segmentation"
    return [Sheet(title=title, columns=columns, rows=tuple(rows), notes=tuple(notes), text_columns=2)]


def table_2(found: Sequence[Measured], methods: Sequence[str] | None = None) -> list[Sheet]:
    """Return accuracy and F1 on valence and arousal for segments of 1 to 5 s: one sheet a method that has any."""
    run = {
        summary.system.method
        for one in found
        for summary in one.summaries
        if summary.system.segment_s in DURATIONS_S and _own(summary) and summary.system.target in AXES
    }
    names: list[str | None] = [name for name in _ordered(run) if methods is None or name in methods]
    return [_table_2(found, name) for name in names or [None]]


def _table_2(found: Sequence[Measured], name: str | None) -> Sheet:
    rows: list[tuple[str, ...]] = []
    here = {one.protocol.dataset: one.summaries for one in found}
    for dataset in dict.fromkeys((*DATASETS, *here)):
        ours = [s for s in here.get(dataset, ()) if _own(s) and s.system.method == name]
        if dataset not in TABLE_2 and not ours:
            continue
        for i, d in enumerate(DURATIONS_S):
            figures = TABLE_2[dataset][i] if dataset in TABLE_2 else (None,) * 4
            printed = {Target.VALENCE: figures[:2], Target.AROUSAL: figures[2:]}
            rows.append(
                (name_of(dataset), str(d), *_cells([s for s in ours if s.system.segment_s == d], AXES, printed))
            )
    said = "nothing was run yet" if name is None else f"{name} ({method(name).summary})" if name in METHODS else name
    title = f"Table 2: segment durations; paper: Proposed; ours: {said}"
    return _sheet(title, "Segment s", AXES, rows, (F1_NOTE, *_about(found)))


def table_3(found: Sequence[Measured], *, segment_s: float = DEFAULT_SEGMENT_S) -> list[Sheet]:
    """Return the methods: the paper's rows, each with our method that does the same, then our other methods.

    Ours are of one segment duration.
    """
    targets = (*AXES, Target.QUADRANT)
    here = {one.protocol.dataset: one.summaries for one in found}
    notes: list[str] = [F1_NOTE, f"Ours: segments of {segment_s:g} s for every target."]
    rows: list[tuple[str, ...]] = []
    for dataset in dict.fromkeys((*DATASETS, *here)):
        shown: dict[str, list[Summary]] = {}
        for s in here.get(dataset, ()):
            if _own(s) and s.system.segment_s in (None, segment_s):
                shown.setdefault(s.system.method, []).append(s)
        rest, label = _ordered(shown), name_of(dataset)
        for row in (row for row in TABLE_3 if row.dataset == dataset):
            # A row that is not like with like gets none of ours beside it.
            known = [n for n in rest if n in METHODS and "skin" not in row.notes]
            same = next((n for n in known if method(n).paper_row == row.method.split(" [")[0]), "")
            rest = [n for n in rest if n != same]
            notes += [NOTES[key] for key in row.notes if NOTES[key] not in notes]
            marks = "".join(f" [{notes.index(NOTES[key]) + 1}]" for key in row.notes)
            name = f"{row.method}{marks}" + (f"; ours: {same}" if same else "")
            printed = {Target.VALENCE: row.valence, Target.AROUSAL: row.arousal, Target.QUADRANT: row.quadrant}
            rows.append((label, name, *_cells(shown.get(same, []), targets, printed)))
        rows += [(label, name, *_cells(shown[name], targets, {})) for name in rest]
    title = "Table 3: methods; the paper's figures and ours"
    return [_sheet(title, "Method", targets, rows, (*notes, *_about(found)))]


def _sheet(
    title: str, head: str, targets: Sequence[Target], rows: Sequence[tuple[str, ...]], notes: Sequence[str]
) -> Sheet:
    """Return a table of the paper's accuracy and F1 of each target, with ours beside them."""
    figures = [f"{HEADS[t]}-{figure} {whose}" for t in targets for figure in ("acc.", "F1") for whose in WHOSE]
    columns = ("Data set", head, *figures)
    return Sheet(title=title, columns=columns, rows=tuple(rows), notes=tuple(notes), text_columns=2)


def _cells(
    summaries: Sequence[Summary], targets: Sequence[Target], printed: Mapping[Target, Sequence[float | None]]
) -> list[str]:
    cells: list[str] = []
    for target in targets:
        ours = next((s for s in summaries if s.system.target is target), None)
        accuracy, f1 = printed.get(target, (None, None))
        cells += [_percent(accuracy), _ours(ours, "accuracy"), _percent(f1), _ours(ours, F1_OF[target])]
    return cells


def name_of(dataset: str) -> str:
    """Return the paper's name of a data set; ours, where it has none."""
    return DATASETS.get(dataset, dataset)


def _own(summary: Summary) -> bool:
    """Return whether a method was trained for what is measured: a view of the quadrant is not the paper's column."""
    return summary.system.learnt is summary.system.target


def _ours(summary: Summary | None, figure: str) -> str:
    if summary is None:
        return ""
    mean, sd = summary.over_seeds[figure]
    spread = "" if sd is None else f" ± {100 * sd:.2f}"
    part = "" if summary.complete else f" ({len(summary.folds)} of {summary.n_folds} folds)"
    return f"{100 * mean:.2f}{spread}{part}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _ordered(names: Iterable[str]) -> list[str]:
    known = list(METHODS)
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _about(found: Sequence[Measured]) -> list[str]:
    """Return what ours were measured on, a sentence a data set."""
    said = []
    for one in found:
        p = one.protocol
        wrong = " Labels shuffled by artist: only chance is to be expected." if p.shuffled else ""
        wrong += f" {p.flipped:.0%} of the training songs with a wrong label on purpose." if p.flipped else ""
        wrong += f" {p.spliced:.0%} of each training song of another class on purpose." if p.spliced else ""
        said.append(
            f"Ours on {name_of(p.dataset)}: {p.songs} songs, {len(p.folds)} folds, no {p.group} on "
            f"both sides; {p.labels_in_words}.{wrong}"
        )
    return said
