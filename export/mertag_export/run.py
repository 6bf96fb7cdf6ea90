"""From a finished run to a bundle: export, prove, seal. Nothing is left where the bundle should be unless all holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mertag.listen.bundle import Bundle
from mertag_export.clips import dataset_of
from mertag_export.place import check_place, new_folder_for
from mertag_export.steps import Export, ExportOptions, OnCheck, OnStep
from mertag_train.runs.run import Run

__all__ = ["ExportOptions", "export_run"]


def export_run(
    run: Run,
    out: Path,
    options: ExportOptions,
    *,
    data_dir: Path | None = None,
    overwrite: bool = False,
    on_check: OnCheck = lambda check: None,
    on_step: OnStep = lambda what: None,
) -> Bundle:
    """Make a bundle of a run.

    Parameters
    ----------
    run : Run
        A finished run.
    out : Path
        The bundle's folder.
    options : ExportOptions
        What is made.
    data_dir : Path or None
        Where the run's data set lies now; None for where it lay then.
    overwrite : bool
        Replace a bundle that is there; never anything else.
    on_check, on_step : callables
        Told each comparison, and what is being done.

    Raises
    ------
    ParityError
        If a graph does not do what was trained. No bundle is written; one that was there stays.
    ExportError
        If no song of the data set can be decoded, or the bundle cannot be written.
    DatasetError
        If the data set is not where it was.
    ConfigError
        If `out` exists, and may not or cannot be replaced.
    """
    check_place(out, overwrite=overwrite)
    dataset = dataset_of(run, data_dir)
    with new_folder_for(out) as folder, TemporaryDirectory(dir=folder.parent) as scratch:
        bundle = Export(run, dataset, folder, Path(scratch), options, on_check, on_step).make()
    return replace(bundle, folder=out)
