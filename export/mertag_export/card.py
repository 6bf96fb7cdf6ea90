"""The model card: what a bundle was trained on, how, what it is worth and what it must not be used for.

Sections as in Mitchell et al., "Model cards for model reporting", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mertag.emotion import QUADRANT_LABELS, Target
from mertag_train.run import Run

from .licence import Licence
from .parity import Check

MUSIC = {
    "4q": "30-second previews of mostly Western popular music",
    "pmemo": "choruses of popular songs from the charts",
    "eim": "45-second clips of songs from the Free Music Archive",
}
OWN_MUSIC = "its maker's own choice of music"
KEPT_APART = {"artist": ", and of artists as far as they are named,", "recording": ""}
METHOD_NAMES = {"song_svm": "song classifier (used by `mertag tag`)", "mean_probability": "mean probability (baseline)"}


def model_card(run: Run, *, name: str, version: str, licence: Licence, checks: Sequence[Check]) -> str:
    """Return the card as Markdown."""
    config, dataset = run.config, run.dataset
    fold_sizes = {fold: sum(f == fold for f in run.fold_of.values()) for fold in ("train", "validation", "test")}
    lines = [
        f"# {name} {version}",
        "",
        "Recognises the emotion of music: the quadrant of Russell's valence-arousal plane"
        f" ({', '.join(f'{q} {label}' for q, label in QUADRANT_LABELS.items())}),"
        " from the audio alone.",
        "",
        "## Data",
        "",
        f"{dataset['name']}: {dataset['songs']} songs, each {config.group} on one side of the split:"
        f" {fold_sizes['train']} for the network, {fold_sizes['validation']} for the song classifier and its"
        f" calibration, {fold_sizes['test']} for the figures below.",
        "",
        f"Labels: {dataset['labelling']}.",
        "",
        *([str(dataset["citation"]), ""] if dataset["citation"] else []),
        "## Recipe",
        "",
        f"`{run.command}`, then `mertag export`. Segments of {config.segmentation.duration_s:g} s that inherit the"
        f" label of their clip; {'VGG16-BN, compact' if config.network.architecture == 'compact' else 'VGG16'};"
        f" {config.epochs} epochs; seed {config.seed}. Trained on {run.environment['device']} in"
        f" {_duration(float(run.environment['training_s']))} with torch {run.environment['torch']}.",
        "",
        "## Figures",
        "",
        f"On songs{KEPT_APART[config.group]} that neither the network nor the song classifier has seen. The interval is"
        " Wilson's, 95 %; the calibration error stands beside what a perfectly calibrated model would show with so few"
        " songs.",
        "",
        "| target | method | songs | accuracy | interval | macro-F1 | log-loss | calibration error | if perfect |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(target, method, m) for target, methods in run.metrics.items() for method, m in methods.items()]
    quadrant = run.metrics.get(str(Target.QUADRANT), {}).get("song_svm")
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


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _row(target: str, method: str, m: dict[str, Any]) -> str:
    low, high = m["accuracy_interval"]
    return (
        f"| {target} | {METHOD_NAMES.get(method, method)} | {m['n']} | {m['accuracy']:.3f} | {low:.3f} to {high:.3f} "
        f"| {m['macro_f1']:.3f} | {m['log_loss']:.3f} | {m['calibration_error']:.3f} "
        f"| {m['calibration_error_if_perfect']:.3f} |"
    )
