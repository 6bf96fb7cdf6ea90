"""``mertag tag``: options in, one run over a library, its results out."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mertag.cli import console
from mertag.cli import tag_options as opt
from mertag.cli.console import LogLevel, show_from
from mertag.cli.shared import OnlyRemembered, idle_patterns, nothing_found, open_tagger, opened_state, without_model
from mertag.errors import ConfigError, StateError
from mertag.files import is_url
from mertag.library.find import Shard

if TYPE_CHECKING:
    from mertag.library.overview.sums import Overview
    from mertag.library.state.analyses import State
    from mertag.listen.tagger import Tagger

_log = logging.getLogger(__name__)


def tag(
    paths: opt.Sources = None,
    files_from: opt.FilesFrom = None,
    include: opt.Include = None,
    exclude: opt.Exclude = None,
    shard: opt.ShardOption = None,
    write_id3: opt.WriteTags = False,
    sidecar: opt.Sidecar = False,
    jsonl: opt.Jsonl = None,
    csv: opt.Csv = None,
    parquet: opt.Parquet = None,
    segment_probabilities: opt.SegmentProbabilities = False,
    report: opt.Report = None,
    json: opt.Json = False,
    dry_run: opt.DryRun = False,
    overwrite: opt.Overwrite = False,
    min_confidence: opt.MinConfidence = 0.0,
    moods: opt.Moods = 1,
    join: opt.Join = None,
    fields: opt.Fields = None,
    labels: opt.Labels = None,
    balanced: opt.Balanced = None,
    scale: opt.Scale = 1,
    comment_field: opt.CommentField = False,
    preserve_mtime: opt.PreserveMtime = False,
    break_hard_links: opt.BreakHardLinks = False,
    model: opt.ModelOption = None,
    device: opt.DeviceOption = opt.DeviceChoice.auto,
    windows: opt.Windows = None,
    segment_hop: opt.SegmentHop = None,
    workers: opt.Workers = None,
    engine: opt.Engine = opt.EngineChoice.local,
    ray_address: opt.RayAddress = None,
    strict: opt.Strict = False,
    fail_fast: opt.FailFast = False,
    max_failures: opt.MaxFailures = None,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    log_level: opt.LogLevelOption = LogLevel.warning,
    state: opt.StateFile = None,
    no_state: opt.NoState = False,
    retag: opt.Retag = False,
    force: opt.Force = False,
) -> None:
    """Recognise the emotion of songs.

    Without --write-tags, --sidecar, --jsonl, --csv, --parquet and --json, a table is printed and nothing is written.
    Results go to stdout, everything else to stderr.

    Every file that is found ends as tagged, unchanged, skipped (too short, silent, no tag format: not an
    error) or failed (damaged, or not writable). A file without a tag format is tagged if --sidecar gives it
    one. To find no audio file is not an error: exit code 0, and a message; a path that does not exist is
    one: exit code 2.

    A second run analyses no song that was analysed with the same model and settings, wherever its file is now, and
    opens no file for which nothing is left to do.
    """
    if not paths and not files_from:
        raise ConfigError("nothing to tag; give songs or folders, or --files-from FILE")
    if segment_probabilities and parquet is None:
        raise ConfigError("--segment-probabilities are columns of --parquet; name a file for that")
    if segment_probabilities and retag:
        raise ConfigError("--segment-probabilities are not remembered, so that --retag has none; leave out one of them")
    part = None if shard is None else Shard.parse(shard)
    show_from(LogLevel.info if verbose and log_level is not LogLevel.debug else log_level)
    if engine is opt.EngineChoice.ray:
        from mertag.cli.tag_ray import refuse_options, tag_on_ray

        refuse_options(
            {"--write-id3": write_id3, "--dry-run": dry_run},
            {"--workers": workers, "--state": state, "--retag": retag, "--force": force},
        )
        with _nothing_done_yet():
            listed = opt.read_names(files_from) if files_from else []
        tag_on_ray(
            paths or [],
            listed,
            parquet=parquet,
            address=ray_address,
            include=include,
            exclude=exclude,
            shard=part,
            outputs={"--jsonl": jsonl, "--csv": csv, "--report": report, "--json": "-" if json else None},
            model=model,
            device=device.value,
            windows=windows,
            segment_hop_s=segment_hop,
            segments=segment_probabilities,
            sidecar=sidecar,
            strict=strict,
            stop_at_failures=1 if fail_fast else max_failures,
            quiet=quiet,
        )
        return
    if ray_address is not None:
        raise ConfigError("--ray-address is for --engine ray")
    for text in paths or []:
        if is_url(text):
            raise ConfigError(f"{text}: a URL is read with --engine ray, or by mertag.Tagger in Python")
        if not os.path.lexists(text):
            raise ConfigError(f"{text}: no such file or folder")
    from mertag.cli.outputs import check_outputs, open_sinks

    stdout = "-" if json else None
    check_outputs({"--jsonl": jsonl, "--csv": csv, "--parquet": parquet, "--report": report, "--json": stdout})
    with _nothing_done_yet():
        roots = [Path(name) for name in (*(paths or []), *(opt.read_names(files_from) if files_from else []))]

    from mertag.batch import BatchOptions, Found, tag_library
    from mertag.cli.view import View

    options = BatchOptions(
        write_tags=write_id3 or (dry_run and not sidecar),
        sidecar=sidecar,
        dry_run=dry_run,
        tag=opt.written_as(
            fields=fields,
            labels=labels,
            overwrite=overwrite,
            min_confidence=min_confidence,
            moods=moods,
            join=join,
            balanced=balanced,
            scale=scale,
            comment_field=comment_field,
            preserve_mtime=preserve_mtime,
            break_hard_links=break_hard_links,
        ),
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        shard=part,
        strict=strict,
        fail_fast=fail_fast,
        max_failures=max_failures,
        missing_fails=files_from is not None,
        retag=retag,
        force=force or segment_probabilities,
    )
    with opened_state(state, no_state=no_state, needed=retag or (options.writes and not dry_run)) as remembered:
        tagger: Tagger | OnlyRemembered
        with _nothing_done_yet():
            if retag:
                tagger, facts = without_model(model, segment_hop_s=segment_hop, windows=windows)
            else:
                tagger, facts = open_tagger(
                    model,
                    device.value,
                    workers=workers,
                    segment_hop_s=segment_hop,
                    windows=windows,
                    one_song=len(roots) == 1 and roots[0].is_file(),
                    timelines=segment_probabilities,
                )
        facts |= {"windows": windows, "segment_hop_s": segment_hop, "shard": shard}
        with tagger:
            if not quiet:
                heading = "{model}: only what is remembered is written" if retag else "{model} on {device}"
                console.say(console.clean("model " + heading.format(**facts)))
                _log.info("%s", "{provider}; {reason}".format(**facts))
                if windows is not None:
                    n = f"{windows} windows are" if windows > 1 else "1 window is"
                    console.say(f"of each long song, only {n} heard (--windows {windows})")
            view = View(
                noun="song",
                done="tagged" if options.writes else "analysed",
                dry_run=dry_run,
                quiet=quiet,
                stdout_taken="-" in (jsonl, csv, report),
                json=json,
                table=not (options.writes or jsonl or csv or parquet or report == "-" or json),
            )
            with view.opened(report, facts):
                events = tag_library(roots, tagger=tagger, options=options, state=remembered)
                with _nothing_done_yet():
                    first = next(events)
                assert isinstance(first, Found)
                view.show(first)
                if not first.n:
                    console.warn(nothing_found(include, exclude, shard))
                for remark in idle_patterns(roots, include, exclude) if first.n else ():
                    console.warn(remark)
                segments = segment_probabilities
                with open_sinks(jsonl, csv, parquet, model_key=tagger.model_key, segments=segments) as add:
                    summary = view.follow(events, add)
                view.overview = _overview(roots, remembered)
    if summary.failed:
        raise typer.Exit(console.ExitCode.SOME_FAILED)


def _overview(roots: Sequence[Path], state: State | None) -> Overview | None:
    """Return what is remembered of the folders of the run, None if there is no memory; no file is opened for it."""
    if state is None:
        return None
    from mertag.library.overview.songs import remembered
    from mertag.library.overview.sums import overview

    try:
        return overview(remembered(state.run.database, roots, read=False), roots)
    except StateError:  # the run has said so already, and went on
        return None


@contextmanager
def _nothing_done_yet() -> Iterator[None]:
    """Say, should the run be interrupted here, that it left nothing behind."""
    try:
        yield
    except KeyboardInterrupt:
        console.say("stopped before any file was touched; run the same command again to start anew")
        raise
