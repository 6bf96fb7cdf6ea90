"""The model card: what a bundle was trained on, how, what it is worth and what it must not be used for.

Sections as in Mitchell et al., "Model cards for model reporting", 2019.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mertag.emotion import QUADRANT_LABELS, Target
from mertag_export.licence import Licence
from mertag_export.parity import Check
from mertag_train.learn.config import NetworkConfig
from mertag_train.runs.run import Run

MUSIC = {
    "4q": "30-second previews of mostly Western popular music",
    "pmemo": "choruses of popular songs from the charts",
    "eim": "45-second clips of songs from the Free Music Archive",
}
OWN_MUSIC = "its maker's own choice of music"
KEPT_APART = {"artist": ", and of artists as far as they are named,", "recording": ""}
METHOD_NAMES = {
    "song_classifier": "song classifier (used by `mertag tag`)",
    "mean_probability": "mean probability (baseline)",
}


def model_card(run: Run, *, name: str, version: str, licence: Licence, checks: Sequence[Check]) -> str:
    """Return the card as Markdown."""
    config, dataset = run.config, run.dataset
    lines = [
        f"# {name} {version}",
        "",
        "Recognises the emotion of music: the quadrant of Russell's valence-arousal plane"
        f" ({', '.join(f'{q} {label}' for q, label in QUADRANT_LABELS.items())}),"
        " from the audio alone.",
        "",
        "## Data",
        "",
        f"{dataset['name']}: {dataset['songs']} songs, each {config.group} on one side of the split: {_parts(run)}.",
        "",
        f"Labels: {dataset['labelling']}.",
        "",
        *([str(dataset["citation"]), ""] if dataset["citation"] else []),
        "## Recipe",
        "",
        f"`{run.command}`, then `mertag export`. {_recipe(run)} Trained on {run.environment['device']} with torch"
        f" {run.environment['torch']}; all networks, one after the other, take about"
        f" {_duration(float(run.environment['training_s']))}.",
        "",
        "## Figures",
        "",
        f"On songs{KEPT_APART[config.group]} that neither the network nor the song classifier has seen. The interval is"
        " Wilson's, 95 %; the calibration error stands beside what a perfectly calibrated model would show with so few"
        " songs.",
        "",
        *_table(run.metrics),
    ]
    if run.cross_validation:
        lines += [
            "",
            "By cross-validation on the songs that were trained on: each judged by one of the networks, and by a song"
            " classifier, that were fitted without it. The bundle averages all networks.",
            "",
            *_table(run.cross_validation),
        ]
    for target, rows in run.confidence.items():
        lines += [
            "",
            f"If only the {target} of songs that the model is sure of counts (`mertag tag --min-confidence`), by the"
            " same cross-validation:",
            "",
            "| confidence at least | share of the songs | right |",
            "|---|---|---|",
            *(
                f"| {row['at_least']:.1f} | {row['share']:.0%} | {row['accuracy']:.0%} |"
                for row in rows
                if row["accuracy"] is not None
            ),
        ]
    quadrant = run.metrics.get(str(Target.QUADRANT), {}).get("song_classifier")
    if quadrant:
        classes = quadrant["classes"]
        lines += [
            "",
            "Confusion of the song classifier (row: label, column: prediction):",
            "",
            f"| | {' | '.join(classes)} |",
            f"|---|{'---|' * len(classes)}",
            *(f"| {c} | {' | '.join(map(str, row))} |" for c, row in zip(classes, quadrant["confusion"], strict=True)),
        ]
    lines += [
        "",
        "## Export",
        "",
        "Compared on songs of the part that the figures come from, when the bundle was made:",
        "",
        *(f"- {check}" for check in checks),
        "",
        "## Intended use and limits",
        "",
        "- For sorting one's own music library and for research. Not for judging people, listeners or artists.",
        "- Emotion is heard differently by different listeners; the labels are one opinion a clip.",
        f"- Trained on {MUSIC.get(dataset['name'], OWN_MUSIC)}; other music is outside of what it knows.",
        "- Speech, noise and near-silence are not music; what it says of them means nothing.",
        "- Valence is usually harder to hear than arousal: expect more mistakes between Happy and Angry, and between"
        " Relaxed and Sad, than between the others.",
        "",
        "## Licence of the weights",
        "",
        f"{licence.summary[:1].upper()}{licence.summary[1:]}.",
        "",
    ]
    return "\n".join(lines)


def _parts(run: Run) -> str:
    """Return how many songs served what."""
    sizes = {fold: sum(f == fold for f in run.fold_of.values()) for fold in ("train", "validation", "test")}
    if run.config.song.features == "held_out":
        learnt = f"{sizes['train']} for the network, {sizes['validation']} for the song classifier and its calibration"
    else:
        learnt = f"{sizes['train']} for the networks and the song classifier"
    if run.config.song.features == "cross_fitted":
        learnt += f", dealt into {run.config.song.inner_folds} parts for cross-fitting"
    return f"{learnt}, {sizes['test']} set aside for the figures below"


def _recipe(run: Run) -> str:
    """Return what was trained, in a few sentences."""
    config = run.config
    labels = "inherit the label of their clip" if config.learner == "inherited" else f"learn by {config.learner}"
    segments = f"Segments of {config.segmentation.duration_s:g} s that {labels};"
    if not config.committee:
        return f"{segments} {_network(config.network)}; {config.epochs} epochs; seed {config.seed}."
    counts = Counter(f"{_network(kind.network)} ({kind.epochs} epochs)" for kind in config.committee)
    kinds = ", ".join(kind if count == 1 else f"{count} times {kind}" for kind, count in counts.items())
    return (
        f"{segments} a committee: for each of {config.song.inner_folds} parts of the songs, networks trained without:"
        f" {kinds}. The model is the mean of all. Seed {config.seed}."
    )


def _network(network: NetworkConfig) -> str:
    """Return what a network is called."""
    if network.architecture == "statistics":
        return "a small network on statistics of the segment (bands, cepstrum, rhythm, harmony)"
    name = "VGG16-BN, compact" if network.architecture == "compact" else "VGG16"
    return name if network.width == 1 else f"{name}, {network.width:g} of the channels"


def _table(metrics: Mapping[str, Any]) -> list[str]:
    """Return the figures by target and method."""
    return [
        "| target | method | songs | accuracy | interval | macro-F1 | log-loss | calibration error | if perfect |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(target, method, m) for target, methods in metrics.items() for method, m in methods.items()),
    ]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _row(target: str, method: str, m: dict[str, Any]) -> str:
    low, high = m["accuracy_interval"]
    return (
        f"| {target} | {METHOD_NAMES.get(method, method)} | {m['n']} | {m['accuracy']:.3f} | {low:.3f} to {high:.3f} "
        f"| {m['macro_f1']:.3f} | {m['log_loss']:.3f} | {m['calibration_error']:.3f} "
        f"| {m['calibration_error_if_perfect']:.3f} |"
    )
