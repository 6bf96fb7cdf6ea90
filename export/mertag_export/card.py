"""The model card and the terms of the weights: what a model comes from, what it is worth, and what it may be used for.

Sections as in Mitchell et al., "Model cards for model reporting", 2019.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mertag.emotion import QUADRANT_LABELS, Target
from mertag.errors import ConfigError
from mertag_export.parity import Check
from mertag_train.learn.config import NetworkConfig
from mertag_train.runs.run import Run

LICENCE_NAME = "LICENSE-WEIGHTS"

# What the published data sets are made of, and hence why what is trained on them is for research only.
_CLIPS = {
    "4q": "30-second previews of commercial recordings",
    "pmemo": "excerpts of commercial recordings, given out for research",
    "eim": "clips of recordings under Creative Commons licences, many of which exclude commercial use",
    "deam": "recordings under Creative Commons licences, many of which exclude commercial use",
    "mtg-jamendo": "recordings under Creative Commons licences, many of which exclude commercial use, with tags under "
    "CC BY-NC-SA 4.0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """The terms of a model's weights: in one line, for the manifest, and whole, for the file ``LICENSE-WEIGHTS``."""

    summary: str
    text: str


def licence_of(dataset: str, citation: str) -> Licence:
    """Return the terms that follow from a data set, by its name; `citation` is empty for one's own music."""
    clips = _CLIPS.get(dataset.casefold())
    return _own(dataset) if clips is None else _research_only(dataset, citation, clips)


def read_licence(path: Path) -> Licence:
    """Return terms of one's own; the summary is the file's SPDX identifier, or else its first line.

    A file that cannot be read as text, or is empty, raises ConfigError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--licence {path}: cannot be read as text ({error})") from error
    spdx = re.search(r"^SPDX[- ](?:License-)?Identifier:\s*(\S.*?)\s*$", text, re.MULTILINE | re.IGNORECASE)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if not first:
        raise ConfigError(f"--licence {path}: the file is empty")
    return Licence(summary=f"{spdx[1] if spdx else first}; see {LICENCE_NAME}", text=text)


def _research_only(dataset: str, citation: str, clips: str) -> Licence:
    paragraphs = (
        f"The weights were trained on the data set {dataset}: {citation}",
        f"Its audio: {clips}. The rights in the recordings belong to their owners; no audio is in this bundle.",
        "Use the weights for research, for teaching, and for private purposes that earn no money, such as tagging "
        "your own music library; not in a product or a service that is sold or run for profit. The same holds for "
        "models derived from them. Whoever passes the weights on passes this text on with them.",
        "Publications that rest on the weights should cite the data set. Nothing here grants a right in any "
        "recording, or stands in for the terms of the data set. mertag's program code has a licence of its own.",
    )
    return Licence(summary=f"research use only; see {LICENCE_NAME}", text=_page(*paragraphs))


def _own(dataset: str) -> Licence:
    where = "music of their maker's own choice" if dataset == "folder" else f"the data set {dataset}"
    paragraphs = (
        f"The weights were trained with mertag on {where}. mertag claims no right in them: the licence of its "
        "program code does not extend to them.",
        "What may be done with them follows from the terms of that music and of its labels, which their maker "
        "knows: ask them. The maker may put terms of their own here (mertag export --licence FILE).",
    )
    return Licence(summary=f"the terms of its maker's training data apply; see {LICENCE_NAME}", text=_page(*paragraphs))


def _page(*paragraphs: str) -> str:
    title = "Terms of the model weights in this bundle"
    warranty = "The weights are provided as they are, without warranty of any kind."
    body = "\n\n".join(textwrap.fill(paragraph, 78) for paragraph in (*paragraphs, warranty))
    return f"{title}\n{'=' * len(title)}\n\n{body}\n"


MUSIC = {
    "4q": "30-second previews of mostly Western popular music",
    "pmemo": "choruses of popular songs from the charts",
    "eim": "45-second clips of songs from the Free Music Archive",
    "deam": "45-second excerpts and whole songs from the Free Music Archive, Jamendo and MedleyDB",
    "mtg-jamendo": "songs from Jamendo, with the moods that their uploaders gave them",
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
            "By cross-validation on the songs that were trained on: each judged by a network, and by a song classifier,"
            " that were fitted without it. Those of the bundle learnt from all of them.",
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
    return f"{segments} {_network(config.network)}; {config.epochs} epochs; seed {config.seed}."


def _network(network: NetworkConfig) -> str:
    """Return what a network is called."""
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
