"""``mertag info``: what a bug report needs, and what a user wants to know before a long run."""

from __future__ import annotations

import dataclasses
import importlib
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Annotated

import typer

from mertag._version import __version__
from mertag.cli import console, settings
from mertag.cli.outputs import print_json
from mertag.cli.tag_options import DeviceChoice, DeviceOption, Json, ModelOption
from mertag.errors import BundleError, ConfigError, DeviceError
from mertag.files import path_text

SHOWN = ("size", "licence", "source", "citation", "needs", "here")
"""What is printed of a data set, in this order; all else is in the JSON."""


def info(
    model: ModelOption = None,
    device: DeviceOption = DeviceChoice.auto,
    datasets: Annotated[
        bool, typer.Option("--datasets", help="Show the data sets that can be trained on, and which are here.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the model, the device and provider really in use, the decoders, and where settings are.

    With --datasets, show the data sets for train and evaluate instead: what each is, how large, under which
    licence, where it can be had, and whether it lies below $MERTAG_DATA. The exit code is 3 if the model cannot run;
    all else is shown nevertheless.
    """
    if datasets:
        _show_datasets(as_json=json)
        return
    facts: dict[str, object] = {"mertag": __version__, "python": sys.version.split()[0]}
    facts["platform"] = platform.platform()
    problem: Exception | None = None
    try:
        facts["model"], facts["device"] = _model(model, device)
    except (BundleError, DeviceError, ConfigError) as error:
        problem = error
        facts["model"] = {"error": str(error)}
    facts |= _engines()
    facts["packages"] = {n: _version(n) for n in ("numpy", "soxr", "msgspec", "typer", "rich", "mutagen")}
    facts["paths"] = _paths()
    if json:
        print_json(facts)
    else:
        for line in _lines(_brief(facts)):
            console.out(line)
    if problem is not None:
        console.complain(problem)
        raise typer.Exit(console.exit_code(problem))


def _version(package: str) -> str:
    """Return the version of a package; mutagen is an extra."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _show_datasets(*, as_json: bool) -> None:
    # By its name, as commands are: the runtime does not know what trains.
    found = importlib.import_module("mertag_train.data.datasets.catalogue").catalogue()
    plain = [dataclasses.asdict(entry) for entry in found]
    if as_json:
        print_json({"datasets": plain})
        return
    for entry in plain:
        console.out(console.clean(f"{entry.pop('name')}: {entry.pop('what')}"))
        for line in _lines({key: entry[key] for key in SHOWN if entry[key]}, indent="  "):
            console.out(line)


def _brief(facts: dict[str, object]) -> dict[str, object]:
    """Return the facts with the model's figures in a line each; all of them stand in the JSON, and in the card."""
    model = facts["model"]
    if not isinstance(model, dict) or not isinstance(model.get("metrics"), Mapping):
        return facts
    figures, judged = model["metrics"], model["metrics"].get("cross_validation")
    brief: dict[str, object] = {"on songs set aside": _figures(figures)}
    if isinstance(judged, Mapping):
        brief["by cross-validation"] = _figures(judged)
    return {**facts, "model": {**model, "metrics": brief}}


def _figures(metrics: Mapping[str, object]) -> dict[str, object]:
    """Return the accuracy of what `mertag tag` says, by target; whatever else a bundle's maker noted is left out."""
    figures: dict[str, object] = {}
    for target, methods in metrics.items():
        measured = methods.get("song_classifier") if isinstance(methods, Mapping) else None
        try:
            low, high = measured["accuracy_interval"]  # type: ignore[index]  # checked by doing
            accuracy = f"accuracy {measured['accuracy']:.3f} ({low:.3f} to {high:.3f})"  # type: ignore[index]
            figures[target] = f"{accuracy}, {measured['n']} songs"  # type: ignore[index]
        except (TypeError, KeyError, ValueError):
            continue
    return figures


def _model(folder: object, device: DeviceChoice) -> tuple[dict[str, object], dict[str, object]]:
    from mertag.listen.bundle import CARD_NAME, load_bundle
    from mertag.listen.device import open_models

    bundle = load_bundle(str(folder) if folder else None)
    manifest = bundle.manifest
    segment = open_models(bundle, device=device.value).segment
    described: dict[str, object] = {
        "id": bundle.id,
        "folder": path_text(bundle.folder),
        "licence": manifest.licence,
        "heads": {str(head.target): list(head.classes) for head in manifest.heads},
        "precisions": [str(p) for p in manifest.segment],
        "segment_s": manifest.segmentation.duration_s,
        "segment_hop_s": manifest.segmentation.hop_s,
        "card": path_text(bundle.folder / CARD_NAME),
        "dataset": manifest.dataset,
        "training_command": manifest.training_command,
        "created_by": manifest.created_by,
        "metrics": manifest.metrics,
    }
    in_use: dict[str, object] = {
        "device": segment.device,
        "provider": segment.provider,
        "precision": str(segment.precision),
        "reason": segment.reason,
    }
    return described, in_use


def _engines() -> dict[str, object]:
    import av
    import soundfile

    from mertag.listen.sessions import onnxruntime

    runtime = {"version": onnxruntime().__version__, "providers_available": onnxruntime().get_available_providers()}
    decoders = {
        "soundfile": soundfile.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
        "libsndfile_formats": sorted(soundfile.available_formats()),
        "pyav": av.__version__,
        "ffmpeg": {name: ".".join(map(str, version)) for name, version in av.library_versions.items()},
    }
    return {"onnxruntime": runtime, "decoders": decoders}


def _paths() -> dict[str, object]:
    import platformdirs

    config = settings.config_path()
    return {
        "configuration": path_text(config) + ("" if config.exists() else " (not there)"),
        "cache": path_text(platformdirs.user_cache_path("mertag")),
        "state": path_text(platformdirs.user_state_path("mertag")),
    }


def _lines(facts: Mapping[str, object], indent: str = "") -> list[str]:
    """Return nested facts as indented lines."""
    lines: list[str] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{console.clean(key)}:", *_lines(value, indent + "  ")]
        else:
            text = ", ".join(str(v) for v in value) if isinstance(value, (list, tuple)) else str(value)
            lines.append(f"{indent}{console.clean(key)}: {console.clean(text)}")
    return lines
