"""The command ``mertag export``: a run in, a proved model bundle out."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mertag.cli import console
from mertag.cli.outputs import print_json
from mertag.cli.tag_options import Json
from mertag.errors import ConfigError, ExportError
from mertag.files import path_text
from mertag.library.records import path_fields

if TYPE_CHECKING:
    from mertag_export.parity import Check

OverwriteBundle = Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")]


def export(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="The run's folder; if not given, the newest one in ./runs.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="The bundle's folder; if not given, RUN/bundle.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the run's data set lies, if not where it lay when it was trained."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the model, as it stands in tags; if not given, DATASET-RECIPE."),
    ] = None,
    model_version: Annotated[
        str, typer.Option(metavar="VERSION", help="Version of the model, as it stands in tags.")
    ] = "1",
    precision: Annotated[
        str, typer.Option(metavar="P[,P...]", help="Which graphs: int8 for the CPU, fp16 for the GPU, fp32.")
    ] = "int8,fp16",
    licence: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Terms of the weights; if not given, what follows from the data set."),
    ] = None,
    check_songs: Annotated[int, typer.Option(min=1, help="On how many unseen songs the decisions are compared.")] = 24,
    overwrite: OverwriteBundle = False,
    force: Annotated[
        bool, typer.Option("--force", help="Export a model whose figures cannot be told from chance, too.")
    ] = False,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")] = False,
) -> None:
    """Turn a training run into an ONNX model bundle.

    Before the bundle is written, its graphs are compared on real audio with what was trained: torch, librosa and
    scikit-learn against ONNX, and int8 and fp16 against fp32. If they differ too much, no bundle is written. Nor is
    one of a model that is no better than chance, unless --force. The model that `mertag tag` uses by itself does not
    change.
    """
    from mertag.listen.manifest import Precision
    from mertag_export.card import read_licence
    from mertag_export.run import ExportOptions, export_run
    from mertag_train.commands.train import RUNS
    from mertag_train.measure.chance import targets_at_chance
    from mertag_train.runs import run as runs

    try:
        precisions = tuple(Precision(word.strip().lower()) for word in precision.split(","))
    except ValueError:
        raise ConfigError(f"--precision {precision!r}: choose among {', '.join(Precision)}") from None

    terms = None if licence is None else read_licence(licence)

    def say(text: object) -> None:
        if not quiet:
            console.say(console.clean(text))

    folder = run or runs.newest(RUNS)
    say(f"run: {folder}")
    finished = runs.load(folder)
    judged = finished.cross_validation or finished.metrics
    for sentence in targets_at_chance(judged, finished.config.targets):
        if not force:
            raise ExportError(
                f"{folder}: {sentence}. Train for longer, or on more songs; or export it all the same with --force"
            )
        console.warn(sentence)
    checks: list[Check] = []

    def checked(check: Check) -> None:
        checks.append(check)
        say(f"  {check}")

    bundle = export_run(
        finished,
        out or folder / "bundle",
        ExportOptions(
            name=name or f"{finished.dataset['name']}-{finished.config.recipe}",
            version=model_version,
            precisions=precisions,
            licence=terms,
            check_songs=check_songs,
        ),
        data_dir=data_dir,
        overwrite=overwrite,
        on_check=checked,
        on_step=say,
    )
    say(f"bundle: {bundle.folder} ({bundle.id})")
    following = f"mertag tag --model {shlex.quote(str(bundle.folder))} ~/Music"
    if json:
        made: dict[str, object] = {"id": bundle.id, "checks": [dataclasses.asdict(check) for check in checks]}
        print_json({**path_fields(bundle.folder), **made, "next": path_text(following)})
    else:
        console.out(following)
