"""How the processors of a cluster are shared out: who decodes, and who holds a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mertag.errors import DeviceError

_CORES_A_DECODER = 6
"""On a CPU, one task that decodes (with two processes) for so many cores: the network takes several times as long."""

MOST_CORES = 8
"""Of one network on a CPU: a block, six songs of 4 min, is some thirty of its calls; more threads would wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the cluster's processors are shared out.

    Attributes
    ----------
    device : {"cuda", "cpu"}
        Where networks run.
    actors : int
        How many networks there are.
    actor_cpus, actor_gpus : float
        What each reserves.
    threads : int or None
        Threads of each on a CPU.
    decode_cpus : float
        What each task that decodes reserves; these take what the actors leave.
    """

    device: Literal["cuda", "cpu"]
    actors: int
    actor_cpus: float
    actor_gpus: float
    threads: int | None
    decode_cpus: float


def plan(nodes: Sequence[Mapping[str, float]], device: Literal["auto", "cuda", "cpu"]) -> Plan:
    """Share out the processors of nodes, each given as its ``CPU`` and ``GPU``.

    With GPUs there is an actor for each, and all cores decode. Without, an actor takes the cores of the smallest node,
    or an even part of them, at most `MOST_CORES`, but for those that decode; larger nodes have more actors.

    Raises
    ------
    DeviceError
        If CUDA is asked for, and no node has a GPU; or if there is no processor.
    """
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if device == "cuda" and not gpus:
        raise DeviceError("--device cuda, and no node of the Ray cluster has a GPU; start nodes with GPUs, or use auto")
    cores = sorted(node.get("CPU", 0.0) for node in nodes if node.get("CPU", 0.0) >= 1)
    if not cores:
        raise DeviceError("no node of the Ray cluster has a processor; start nodes with --num-cpus")
    if gpus and device != "cpu":
        return Plan(device="cuda", actors=gpus, actor_cpus=1, actor_gpus=1, threads=None, decode_cpus=1)
    smallest = int(cores[0])
    size = smallest // -(-smallest // MOST_CORES)
    decoding = max(1, size // _CORES_A_DECODER) if size > 1 else 0.5
    return Plan(
        device="cpu",
        actors=sum(int(node // size) for node in cores),
        actor_cpus=size - decoding,
        actor_gpus=0,
        threads=size,
        decode_cpus=min(1.0, decoding),
    )
