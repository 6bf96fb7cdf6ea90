"""The report of one data set: every system with all figures, and every two systems compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from mertag.emotion import Target
from mertag_train.evaluation import partitions
from mertag_train.evaluation.bootstrap import DRAWS, Difference
from mertag_train.evaluation.protocol import Protocol
from mertag_train.evaluation.results import Result
from mertag_train.evaluation.sheet import Sheet
from mertag_train.evaluation.summary import Comparison, Summary, System
from mertag_train.evaluation.tables import name_of

SCHEMA = 1
COMPARED = "methods compared"

NOTES = (
    "Pooled over the folds; with several seeds, mean ± standard deviation over them. So are all columns but those "
    "that say otherwise.",
    "Wilson's, of the pooled songs, first seed; it makes no allowance for songs of one artist being alike.",
    "Accuracy of each fold alone, then mean and standard deviation over the folds.",
    "Mean gap between confidence and accuracy in ten bins of equal mass, first seed; in brackets what a perfectly "
    "calibrated method would show for so many songs.",
)
SPEED_NOTE = (
    "Songs a second on this machine, where they were measured: for features, embeddings and methods of one's own from "
    "audio files, with as many processes as they use; for networks from log-mels that are there, without decoding."
)
BRIEF_NOTE = (
    "95 %: Wilson's interval. Cal. error: mean gap between confidence and accuracy; in brackets what a perfectly "
    "calibrated method would show for so many songs."
)


Column = Callable[[Summary], str]


def sheets(
    protocol: Protocol, summaries: Sequence[Summary], comparisons: Sequence[Comparison], results: Sequence[Result] = ()
) -> list[Sheet]:
    """Return the report as sheets: one a target and view, then what `compare` gave, then what partitions found."""
    found = [_figures(f"{heading(protocol)}: {view}", own) for view, own in _by_view(summaries).items()]
    for target in Target:
        pairs = [c for c in comparisons if c.first.target is target]
        if pairs:
            found.append(_pairs(f"{heading(protocol)}: {target}, {COMPARED}", pairs))
    told_apart = partitions.sheet(results)
    if told_apart is not None:
        found.append(replace(told_apart, title=f"{heading(protocol)}: {told_apart.title.lower()}"))
    return found


def _by_view(summaries: Sequence[Summary]) -> dict[str, list[Summary]]:
    found: dict[str, list[Summary]] = {}
    for summary in summaries:
        found.setdefault(summary.system.view, []).append(summary)
    return found


def report_json(
    protocol: Protocol, summaries: Sequence[Summary], comparisons: Sequence[Comparison], results: Sequence[Result]
) -> dict[str, Any]:
    """Return the report as plain JSON values."""
    return {
        "schema": SCHEMA,
        "protocol": protocol.to_json(),
        "remarks": remarks(protocol, results),
        "systems": [summary.to_json() for summary in summaries],
        "comparisons": [
            {
                "target": c.first.target.value,
                "first": {"method": c.first.method, "segment_s": c.first.segment_s},
                "second": {"method": c.second.method, "segment_s": c.second.segment_s},
                "songs": c.n,
                "only_first_right": c.test.only_first,
                "only_second_right": c.test.only_second,
                "p_value": c.test.p_value,
                "p_adjusted": c.p_adjusted,
                "difference": None if c.difference is None else c.difference.value,
                "difference_interval": None if c.difference is None else list(c.difference.interval),
                "artists": None if c.difference is None else c.difference.n_artists,
            }
            for c in comparisons
        ],
        "songs_per_s": [
            {
                "target": s.system.target.value,
                "method": s.system.method,
                "segment_s": s.system.segment_s,
                "songs_per_s": s.songs_per_s,
            }
            for s in summaries
            if s.songs_per_s is not None
        ],
        "partitions": partitions.to_json(results),
        "environments": [dict(env) for env in _environments(results)],
        "elapsed_s": round(sum(result.elapsed_s for result in results), 1),
    }


def remarks(protocol: Protocol, results: Sequence[Result]) -> list[str]:
    """Return what a reader of the figures should know, one sentence each."""
    said = [
        f"{protocol.songs} songs in {len(protocol.folds)} folds, no {protocol.group} on both sides; "
        f"{protocol.labels_in_words}."
    ]
    for target, counts in protocol.counts.items():
        said.append(f"Songs by {target}: {', '.join(f'{name} {n}' for name, n in counts.items())}.")
    if protocol.missing_audio:
        said.append(f"{protocol.missing_audio} more songs are labelled, but have no audio here.")
    said += protocol.notes
    if protocol.shuffled:
        said.append("The labels were shuffled by artist: a method that is better than chance here has a leak.")
    if protocol.flipped:
        said.append(
            f"Of the training songs of each class, {protocol.flipped:.0%} were given a wrong label on purpose; the "
            "test songs have their own."
        )
    if protocol.spliced:
        said.append(
            f"{protocol.spliced:.0%} of each training song, one stretch, were replaced by one of a training song of "
            "another class on purpose; the test songs are as they were."
        )
    environments = _environments(results)
    differing = sorted({k for env in environments for k in env if len({e.get(k) for e in environments}) > 1})
    if differing:
        values = "; ".join(f"{k}: {', '.join(sorted({e.get(k, 'none') for e in environments}))}" for k in differing)
        said.append(f"The results come from different surroundings ({values}).")
    if protocol.citation:
        said.append(f"Data set: {protocol.citation}.")
    return said


def brief(summaries: Sequence[Summary]) -> Sheet:
    """Return what fits a terminal: the main figures of every system."""
    columns: dict[str, Column] = {
        "Target": lambda s: s.system.view,
        "Method": lambda s: s.system.method,
        "Segment": lambda s: s.system.duration,
        "Folds": _folds,
        "Songs": _songs,
        "Accuracy": _spread("accuracy"),
        "95 %": _interval,
        "Macro-F1": _spread("macro_f1"),
        "MCC": _spread("mcc"),
        "Cal. error": _calibration,
    }
    return replace(_sheet("Figures", columns, summaries, text_columns=3), remarks=(BRIEF_NOTE,))


def narrow(summaries: Sequence[Summary]) -> list[Sheet]:
    """Return the same for eyes: one table for each target and view; what is the same in all rows is in its title."""
    found = []
    for view, own in _by_view(summaries).items():
        columns: dict[str, Column] = {"Method": lambda s: _name(s.system)}
        title = view
        for name, noun, cell in (("Songs", "songs", _songs), ("Folds", "folds", _folds)):
            if len({cell(summary) for summary in own}) > 1:
                columns[name] = cell
            else:
                title += f", {cell(own[0])} {noun}"
        columns |= {
            "Accuracy": _spread("accuracy"),
            "95 %": _interval,
            "Macro-F1": _spread("macro_f1"),
            "Cal. error": _calibration,
        }
        found.append(_sheet(title, columns, own, text_columns=1))
    if found:
        found[-1] = replace(found[-1], remarks=(BRIEF_NOTE,))
    return found


def heading(protocol: Protocol) -> str:
    """Return what was measured on, in a few words."""
    shuffled = ", labels shuffled" if protocol.shuffled else ""
    flipped = f", {protocol.flipped:.0%} of the training labels wrong" if protocol.flipped else ""
    spliced = f", {protocol.spliced:.0%} of the training songs spliced" if protocol.spliced else ""
    return f"{name_of(protocol.dataset)}, folds by {protocol.group}{shuffled}{flipped}{spliced}"


def _figures(title: str, summaries: Sequence[Summary]) -> Sheet:
    """Return all figures of the systems of one target and view."""
    segments = any(s.system.duration for s in summaries)
    positive = summaries[0].first.positive_class
    columns: dict[str, Column] = {"Method": lambda s: s.system.method}
    if segments:
        columns["Segment"] = lambda s: s.system.duration
    columns |= {
        "Folds": _folds,
        "Seeds": lambda s: str(len(s.seeds)),
        "Songs": _songs,
        "Accuracy [1]": _spread("accuracy"),
        "95 % interval [2]": _interval,
        "Folds, mean ± SD [3]": lambda s: _figure(*s.over_folds["accuracy"]),
        "Balanced acc.": _spread("balanced_accuracy"),
        "Macro-F1": _spread("macro_f1"),
    }
    if positive is not None:
        columns[f"F1 of {positive}"] = _spread("positive_f1")
    columns |= {
        "MCC": _spread("mcc"),
        "Log-loss": _spread("log_loss"),
        "Brier": _spread("brier"),
        "Calibration error [4]": _calibration,
    }
    notes: tuple[str, ...] = NOTES
    if any(s.songs_per_s is not None for s in summaries):
        columns[f"Songs/s [{len(notes) + 1}]"] = _speed
        notes = (*notes, SPEED_NOTE)
    return replace(_sheet(title, columns, summaries, text_columns=1 + segments), notes=notes)


def _sheet(title: str, columns: dict[str, Column], summaries: Sequence[Summary], *, text_columns: int) -> Sheet:
    rows = tuple(tuple(cell(summary) for cell in columns.values()) for summary in summaries)
    return Sheet(title=title, columns=tuple(columns), rows=rows, text_columns=text_columns)


def _pairs(title: str, pairs: Sequence[Comparison]) -> Sheet:
    rows = tuple(
        (
            _name(c.first),
            _name(c.second),
            str(c.n),
            str(c.test.only_first),
            str(c.test.only_second),
            _p(c.test.p_value),
            _p(c.p_adjusted),
            *_difference(c.difference),
        )
        for c in pairs
    )
    notes = (
        "McNemar's exact test on the songs that both predicted, first seeds. It takes songs for independent.",
        f"Holm's correction for the {len(pairs)} comparisons of this table."
        if len(pairs) > 1
        else "One comparison: there is nothing to correct.",
        f"Accuracy of the first less that of the second; 95 % interval by a paired bootstrap of {DRAWS:,} draws of the "
        "artists, each with all their songs. A song whose artist is not known is drawn alone.",
    )
    columns = (
        "First",
        "Second",
        "Songs",
        "Only first right",
        "Only second right",
        "p [1]",
        "p, corrected [2]",
        "Difference [3]",
        "95 % by artist [3]",
    )
    return Sheet(title=title, columns=columns, rows=rows, notes=notes, text_columns=2)


def _difference(found: Difference | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    low, high = found.interval
    return f"{found.value:+.3f}", f"{low:+.3f} to {high:+.3f}"


def _songs(summary: Summary) -> str:
    return str(summary.first.n)


def _calibration(summary: Summary) -> str:
    first = summary.first
    return f"{first.calibration_error:.3f} ({first.calibration_error_if_perfect:.3f})"


def _speed(summary: Summary) -> str:
    return "" if summary.songs_per_s is None else f"{summary.songs_per_s:.3g}"


def _name(system: System) -> str:
    return f"{system.method} {system.duration}".strip()


def _folds(summary: Summary) -> str:
    return str(summary.n_folds) if summary.complete else f"{len(summary.folds)} of {summary.n_folds}"


def _interval(summary: Summary) -> str:
    return "{:.3f}–{:.3f}".format(*summary.first.accuracy_interval)


def _spread(name: str) -> Column:
    return lambda summary: _figure(*summary.over_seeds[name])


def _figure(mean: float, sd: float | None) -> str:
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ± {sd:.3f}"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _environments(results: Sequence[Result]) -> list[dict[str, str]]:
    return [dict(pairs) for pairs in dict.fromkeys(tuple(sorted(r.environment.items())) for r in results)]
