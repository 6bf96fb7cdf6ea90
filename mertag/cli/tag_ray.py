"""``mertag tag --engine ray``: a catalogue, by paths or URLs, on a Ray cluster; its rows go to a folder or a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import typer

from mertag.cli import console
from mertag.cli.outputs import check_outputs, open_sinks, report_nothing
from mertag.cli.shared import nothing_found
from mertag.cli.view import View, count
from mertag.errors import ConfigError
from mertag.library.find import Shard


def refuse_options(writes: Mapping[str, object], local: Mapping[str, object]) -> None:
    """Refuse what a run on a cluster cannot follow: what `writes` into songs, what is `local`."""
    for option in (name for name, value in writes.items() if value):
        raise ConfigError(
            f"{option}: --engine ray writes rows, and nothing into songs: a store has no files that could be changed "
            "safely and taken back. Where the files are, `mertag import` the rows, and then call "
            f"`mertag tag --retag {option}`"
        )
    for option in (name for name, value in local.items() if value):
        raise ConfigError(f"{option} is for --engine local: what is done is known by the rows in --parquet")


def tag_on_ray(
    sources: Sequence[str],
    listed: Sequence[str],
    *,
    parquet: str | None,
    address: str | None,
    include: list[str] | None,
    exclude: list[str] | None,
    shard: Shard | None,
    outputs: dict[str, str | None],
    model: Path | None,
    device: Literal["auto", "cuda", "cpu"],
    windows: int | None,
    segment_hop_s: float | None,
    segments: bool,
    sidecar: bool,
    strict: bool,
    stop_at_failures: int | None,
    quiet: bool,
) -> None:
    """Listen to a catalogue on a cluster; the parameters are options of `mertag tag`, `outputs` maps some to files.

    Of what is `listed`, a path that is not there is a song that fails, as on one machine.
    """
    from mertag.batch import STATUSES
    from mertag.batch.cluster import tag_catalogue
    from mertag.batch.cluster.catalogue import read_catalogue
    from mertag.batch.cluster.plan import plan
    from mertag.batch.cluster.ray_data import RayEngine, connected, nodes, ray_package
    from mertag.batch.cluster.workers import Listening
    from mertag.library.accounting import Found
    from mertag.library.parquet import pyarrow
    from mertag.library.store import Store
    from mertag.listen.bundle import load_bundle
    from mertag.listen.song import model_key
    from mertag.listen.tagger import chosen_segmentation

    if parquet is None:
        raise ConfigError("--engine ray writes its rows to --parquet; name a folder, by path or URL")
    pyarrow("tag")
    ray_package()
    check_outputs(outputs)
    jsonl, csv, report = (outputs[name] for name in ("--jsonl", "--csv", "--report"))
    store = Store(parquet, command="tag")
    bundle = load_bundle(model)
    key = model_key(bundle, segmentation=chosen_segmentation(bundle, segment_hop_s, console.warn), windows=windows)
    entries = read_catalogue(
        sources, listed=listed, include=tuple(include or ()), exclude=tuple(exclude or ()), shard=shard
    )
    json = outputs["--json"] is not None
    facts: dict[str, object] = {
        "model": bundle.id,
        "device": device,
        "provider": "Ray",
        "reason": "nothing to listen to",
        "windows": windows,
        "segment_hop_s": segment_hop_s,
        "shard": None if shard is None else str(shard),
    }
    if not entries:
        console.warn(nothing_found(include, exclude, None if shard is None else str(shard)))
        report_nothing(report, {**facts, "dry_run": False, "run": None}, STATUSES, json=json)
        return
    served = (entry.address for entry in entries if entry.address.lower().startswith(("http://", "https://")))
    if sidecar and (first_served := next(served, None)) is not None:
        raise ConfigError(f"--sidecar: nothing can be written beside {first_served}; leave out --sidecar")
    with connected(address) as ray:
        there = nodes(ray)
        shares = plan(there, device)
        reason = f"{count(shares.actors, 'network')} on a Ray cluster of {count(len(there), 'node')}"
        if not quiet:
            console.say(console.clean(f"model {bundle.id} on {shares.device}: {reason}"))
        facts |= {"device": shares.device, "reason": reason}
        listening = Listening(
            segment_hop_s=segment_hop_s, windows=windows, strict=strict, segments=segments, sidecars=sidecar
        )
        engine = RayEngine(ray, bundle=bundle, plan=shares, listening=listening)
        done, taken = "tagged" if sidecar else "analysed", "-" in outputs.values()
        view = View(noun="song", done=done, dry_run=False, quiet=quiet, stdout_taken=taken, json=json)
        with view.opened(report, facts):
            events = tag_catalogue(
                entries,
                engine=engine,
                store=store,
                model_key=key,
                segments=segments,
                sidecars=sidecar,
                stop_at_failures=stop_at_failures,
            )
            first = next(events)
            assert isinstance(first, Found)
            view.show(first)
            with open_sinks(jsonl, csv, None, model_key=key) as add:
                summary = view.follow(events, add)
    if summary.failed:
        raise typer.Exit(console.ExitCode.SOME_FAILED)
