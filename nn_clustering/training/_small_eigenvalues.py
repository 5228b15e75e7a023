"""The mean of small eigenvalues of the normalised Laplacian of a chain, and its gradient (I1)."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from nn_clustering.graphs import NEGLIGIBLE, isolated_units

# Singular values of a normalised adjacency, which are 1 at most, count as 0 below this.
_ZERO_SINGULAR_VALUE = 1e-6


def mean_eigenvalue(
    weights: Sequence[NDArray[np.floating]], n_eigenvalues: int
) -> tuple[float, list[NDArray[np.float64]]]:
    """Return the mean of the eigenvalues 2 to n_eigenvalues + 1 of the normalised Laplacian.

    With u_i, v_j the entries of a pair of singular vectors at units of degrees d_i, d_j and s the
    singular value, the eigenvalue 1 - s has the derivative
    s (u_i^2 / d_i + v_j^2 / d_j) / 2 - u_i v_j / sqrt(d_i d_j) by the weight between them.

    Args:
        weights: Of a chain of layers: non-negative, each of shape (source units, target units).
        n_eigenvalues: How many eigenvalues count.

    Returns:
        The mean, and its gradient by each of ``weights`` (0 by those of isolated units, dead ones
        included: they would look like components of their own, with gradients of 1e19).
    """
    weights = _without_dead(weights)
    forward = [matrix.sum(axis=1) for matrix in weights]
    backward = [matrix.sum(axis=0) for matrix in weights]
    degrees = [forward[0], *map(np.add, forward[1:], backward), backward[-1]]
    scales = [np.where(d > 0, 1 / np.sqrt(np.where(d > 0, d, 1)), 0) for d in degrees]
    normalised = [
        matrix * source[:, None] * target
        for matrix, (source, target) in zip(weights, pairwise(scales), strict=True)
    ]
    singular_values, vectors = _leading_singular_vectors(normalised, n_eigenvalues + 1)
    # The first is 1 whatever the weights are.
    singular_values = singular_values[1:]
    scaled = [vector[:, 1:] * scale[:, None] for vector, scale in zip(vectors, scales, strict=True)]
    through_degree = [vector**2 @ singular_values / 2 for vector in scaled]
    gradients = [
        (
            through_degree[layer][:, None]
            + through_degree[layer + 1]
            - scaled[layer] @ scaled[layer + 1].T
        )
        / n_eigenvalues
        for layer in range(len(weights))
    ]
    return float(1 - singular_values.mean()), gradients


def _without_dead(weights: Sequence[NDArray[np.floating]]) -> list[NDArray[np.floating]]:
    """Return the weights, 0 at units with a negligible share of them (methods C5)."""
    sizes = [len(weights[0]), *(matrix.shape[1] for matrix in weights)]
    ends = np.cumsum([0, *sizes]).tolist()
    units = [slice(start, stop) for start, stop in pairwise(ends)]
    edges = [(layer, layer + 1, matrix) for layer, matrix in enumerate(weights)]
    isolated = isolated_units(units, edges, NEGLIGIBLE)
    if not isolated.any():
        return list(weights)
    return [
        np.where(isolated[before, None] | isolated[behind], 0, matrix)
        for matrix, (before, behind) in zip(weights, pairwise(units), strict=True)
    ]


def _leading_singular_vectors(
    blocks: Sequence[NDArray[np.floating]], n: int
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return the n largest singular values of the matrix B that joins even layers to odd ones.

    Args:
        blocks: The matrix from every layer to the next, of shape (source units, target units).
        n: At most the number of units on the smaller side.

    Returns:
        The values, largest first, and for every layer its part of the singular vectors, of shape
        (units, n). Where a value is 0, so are the parts in the layers of the larger side.
    """
    sizes = [len(blocks[0]), *(block.shape[1] for block in blocks)]
    # Where a layer starts among the layers of its side, the even ones or the odd ones.
    starts = [sum(sizes[layer % 2 : layer : 2]) for layer in range(len(sizes))]
    small = int(sum(sizes[1::2]) < sum(sizes[::2]))
    joins = {layer: _join(blocks, starts, layer) for layer in range(1 - small, len(sizes), 2)}
    of_small = _leading_eigenvectors(joins.values(), sum(sizes[small::2]), n)
    of_large = [matrix.T @ of_small[units] for units, matrix in joins.values()]
    # B times the vectors of the small side: those of the larger one, times the singular values.
    values = np.linalg.norm(np.concatenate(of_large), axis=0)
    # Where a value is 0, what is left of its vector is noise.
    nonzero = values > _ZERO_SINGULAR_VALUE
    inverse = np.where(nonzero, 1 / np.where(nonzero, values, 1), 0)
    scaled = {layer: part * inverse for layer, part in zip(joins, of_large, strict=True)}
    vectors = [
        scaled[layer] if layer in joins else of_small[starts[layer] : starts[layer] + size]
        for layer, size in enumerate(sizes)
    ]
    return values * nonzero, vectors


def _join(
    blocks: Sequence[NDArray[np.floating]], starts: Sequence[int], layer: int
) -> tuple[slice, NDArray[np.float64]]:
    """Return what joins a layer to the other side: to which units there, and the matrix from them.

    The layers before and after it follow each other among the layers of their side.
    """
    before, after = blocks[max(layer - 1, 0) : layer], blocks[layer : layer + 1]
    matrix = np.concatenate([*before, *(block.T for block in after)])
    start = starts[layer - 1] if before else 0
    return slice(start, start + len(matrix)), matrix


def _leading_eigenvectors(
    joins: Iterable[tuple[slice, NDArray[np.float64]]], n_units: int, n: int
) -> NDArray[np.float64]:
    """Return the n leading eigenvectors of B' B, where B' has these rows, largest first."""
    gram = np.zeros((n_units, n_units))
    for units, matrix in joins:
        gram[units, units] += matrix @ matrix.T
    wanted = [n_units - n, n_units - 1]
    return scipy.linalg.eigh(gram, subset_by_index=wanted, check_finite=False)[1][:, ::-1]
