"""Which tensors of a network a lesion changes, and how many images fit into memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nn_clustering.graphs import Places
from nn_clustering.lesions._linear_steps import is_linear
from nn_clustering.networks.structure import Step, Walk, kernels_of, most_alive


@dataclass(frozen=True, eq=False)
class Plan:
    """The cut between what lesions of some layers leave as it is and what they change.

    Attributes:
        walk: The steps of the network.
        places: For every lesioned layer where its lesion strikes.
        frontier: Numbers of the unchanged tensors that changed steps read.
        linear: Steps that read a frontier tensor silenced and nothing else, and are linear in it.
    """

    walk: Walk
    places: tuple[tuple[Places, ...], ...]
    frontier: tuple[int, ...]
    linear: tuple[Step, ...]

    @property
    def held(self) -> tuple[int, ...]:
        """Numbers of the tensors that all lesions start from: of the intact network."""
        return (*self.frontier, *(step.outputs[0] for step in self.linear))


def plan_lesions(walk: Walk, places: Sequence[tuple[Places, ...]], *, use_linearity: bool) -> Plan:
    """Return what must be computed anew for every lesion.

    Args:
        walk: The steps of the network.
        places: For every lesioned layer where its lesion strikes.
        use_linearity: Whether to look for linear steps.
    """
    cut = {place.cut for of_layer in places for place in of_layer}
    changed: set[int] = set()
    frontier: dict[int, None] = {}
    linear = []
    steps = walk.steps_between(walk.inputs, walk.outputs)
    # where half precision rounds, margins say little
    use_linearity &= not any(
        getattr(step.operation, "compute_dtype", "") in ("float16", "bfloat16") for step in steps
    )
    for step in steps:
        is_cuts = any((name, t) in cut for name in (step.name, None) for t in step.tensors_read)
        reads_changed = not changed.isdisjoint(step.inputs)
        if not is_cuts and not reads_changed:
            continue
        frontier.update(dict.fromkeys(t for t in step.inputs if t not in changed))
        changed.update(step.outputs)
        if use_linearity and not reads_changed and is_linear(step):
            linear.append(step)
    return Plan(walk, tuple(places), tuple(frontier), tuple(linear))


def multiply_adds(walk: Walk, steps: Iterable[Step]) -> float:
    """Return how many multiply-adds of an image the kernels of some steps take.

    Sizes that are open in the network count as 1.
    """
    total = 0.0
    for step in steps:
        n_positions = np.prod([size or 1 for size in walk.shapes[step.outputs[-1]][1:-1]])
        for kernel in kernels_of(step.operation):
            total += float(n_positions) * float(np.prod(kernel.shape))
    return total


# More are computed in several calls.
LESIONS_A_CALL = 128
# Of an image under a lesion: the squares of what is silent, and whether they are small enough.
_BYTES_OF_EXACTNESS = 12


@dataclass(frozen=True)
class Bytes:
    """Memory that an image takes.

    Attributes:
        held: What all lesions start from.
        lesioned: The most that a lesion holds beside that.
        together: The most that is held at a time, by the intact network or under a lesion.
    """

    held: int
    lesioned: int
    together: int

    def with_more(self, n_bytes: int) -> Bytes:
        """Return the memory of what holds so much more at every time."""
        return Bytes(self.held, self.lesioned + n_bytes, self.together + n_bytes)


def bytes_of_an_image(
    plan: Plan, tensor_bytes: Mapping[int, int], *, is_reduced: bool = False
) -> Bytes:
    """Return the memory that an image takes under a plan.

    Args:
        plan: What is computed.
        tensor_bytes: Bytes of an image's share of every tensor.
        is_reduced: Whether lesions start from a copy of half the size.
    """
    walk = plan.walk
    exactness = LESIONS_A_CALL * _BYTES_OF_EXACTNESS if plan.linear else 0
    held = sum(tensor_bytes[number] for number in plan.held)
    # images whose answer is in doubt are computed again from a copy of what they start from
    copied = sum(tensor_bytes[number] for number in plan.frontier)
    lesioned = copied + most_alive(walk, plan.frontier, walk.outputs, tensor_bytes)
    intact = bytes_of_intact(walk, plan.held, tensor_bytes)
    at_a_time = held + lesioned + exactness + (held // 2 if is_reduced else 0)
    return Bytes(held, lesioned, max(intact.together, at_a_time))


def bytes_of_intact(walk: Walk, wanted: Sequence[int], tensor_bytes: Mapping[int, int]) -> Bytes:
    """Return the memory that an image takes as tensors of the intact network are computed."""
    alive = most_alive(walk, walk.inputs, wanted, tensor_bytes)
    return Bytes(sum(tensor_bytes[number] for number in wanted), alive, alive)
