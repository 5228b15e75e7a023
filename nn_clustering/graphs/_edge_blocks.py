"""The weights between sets of units, by norms of the kernels that join them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.graphs._selection import Selection
from nn_clustering.graphs._streams import folded
from nn_clustering.networks.structure import (
    KERNEL_NORMS,
    VALUES_AT_A_TIME,
    Contribution,
    NetworkWeights,
    Part,
    SharedFactors,
    norms_of_kernel,
    norms_over_gates,
)


def edge_blocks(
    network: NetworkWeights, selection: Selection, kernel_norm: str, gate_norm: str
) -> dict[tuple[int, int], NDArray[np.float64]]:
    """Return the weights between sets, by the indices of the two.

    Within a set, of a recurrent layer, those of both directions are added up, and none is left
    from a unit to itself.
    """
    index = {origin: place for place, origin in enumerate(selection.origins)}
    blocks: dict[tuple[int, int], NDArray[np.float64]] = {}
    for number in selection.layers:
        layer = network.weight_layers[number]
        kernel = network.kernels[layer.kernel]
        if kernel.ndim == 3:
            kernel = norms_over_gates(kernel, gate_norm)
        norms = (
            _grouped(norms_of_kernel(kernel, kernel_norm), layer.groups)
            if kernel.ndim == 4
            else None
        )
        for part in selection.parts[layer.reads]:
            if part.origin not in index:
                continue
            shared = selection.shared_factors[part.origin]
            by_unit = _by_unit(part, kernel, norms, kernel_norm, shared)
            for target in selection.targets(number):
                pair = (index[part.origin], index[target])
                for contribution in selection.contributions(target):
                    if contribution.layer == number:
                        scale = selection.shared_factors[target].scale
                        added = _into_units(by_unit, contribution, scale, kernel_norm)
                        _add(blocks, pair, added, contribution.units, target.n_units)
    return folded(blocks)


def _by_unit(
    part: Part,
    kernel: NDArray[np.floating],
    norms: NDArray[np.float64] | None,
    kernel_norm: str,
    shared: SharedFactors,
) -> NDArray[np.float64]:
    """Return the weights from the units of a part to all units of a layer, (units, units)."""
    if norms is not None:
        weights = _rows(norms, part.rows[0, 0])
    elif part.is_flattened:
        weights = _norms_over_positions(part, kernel, kernel_norm)
    else:
        weights = np.abs(_rows(kernel, part.rows[0, 0]), dtype=np.float64)
    scale = part.scale_beside(shared)
    if (scale != 1).any():
        weights = weights * scale[:, None]
    if np.array_equal(part.units, np.arange(part.origin.n_units)):
        return weights
    summed = np.zeros((part.origin.n_units, weights.shape[1]))
    np.add.at(summed, part.units, weights)
    return summed


def _rows(matrix: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    return matrix if np.array_equal(rows, np.arange(len(matrix))) else matrix[rows]


def _norms_over_positions(
    part: Part, kernel: NDArray[np.floating], kernel_norm: str
) -> NDArray[np.float64]:
    """Return the norms over the positions of the weights of a dense layer, (channels, units)."""
    norms = np.empty((part.rows.shape[2], kernel.shape[1]))
    step = max(VALUES_AT_A_TIME // part.rows.size, 1)
    for start in range(0, norms.shape[1], step):
        some = kernel[:, start : start + step].astype(np.float64)[part.rows]
        if part.scale_by_position is not None:
            some *= part.scale_by_position[..., None]
        norms[:, start : start + step] = KERNEL_NORMS[kernel_norm](some)
    return norms


def _grouped(norms: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """Return the block-diagonal (inputs, units) of norms of shape (inputs a group, units)."""
    if groups == 1:
        return norms
    n_read, n_made = norms.shape[0], norms.shape[1] // groups
    weights = np.zeros((n_read * groups, norms.shape[1]))
    for group in range(groups):
        made = slice(group * n_made, (group + 1) * n_made)
        weights[group * n_read : (group + 1) * n_read, made] = norms[:, made]
    return weights


def _into_units(
    weights: NDArray[np.float64],
    contribution: Contribution,
    scale_of_set: NDArray[np.float64],
    kernel_norm: str,
) -> NDArray[np.float64]:
    """Return a layer's weights into its columns as weights into units, (source units, units)."""
    scale = contribution.scale * scale_of_set[contribution.units]
    if not contribution.is_of_maps:
        added: NDArray[np.float64] = weights[:, contribution.columns[0, 0]]
        added *= scale[0, 0]
        return added
    by_position = weights[:, contribution.columns] * scale
    return KERNEL_NORMS[kernel_norm](by_position.transpose(1, 2, 0, 3))


def _add(
    blocks: dict[tuple[int, int], NDArray[np.float64]],
    pair: tuple[int, int],
    added: NDArray[np.float64],
    units: NDArray[np.int64],
    n_targets: int,
) -> None:
    """Add a layer's weights from one set into units of another to the block between the two."""
    if pair not in blocks and np.array_equal(units, np.arange(n_targets)):
        blocks[pair] = added
        return
    if pair not in blocks:
        blocks[pair] = np.zeros((len(added), n_targets))
    blocks[pair][:, units] += added
