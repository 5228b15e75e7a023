"""How many clusters? N-cut and eigengap over a range of k."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions._ncut import in_out_ratio
from nn_clustering.partitions._spectral import check_clustering, spectral_clustering

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class ClusterNumbers:
    """Spectral clusterings of one graph with different numbers of clusters.

    Attributes:
        ks: The numbers of clusters, ascending.
        ncuts: The n-cut of each, shape (ks,).
        eigenvalues: The smallest eigenvalues of the normalised Laplacian, ascending: one more than
            the largest k, or one for each unit that has edges.
    """

    ks: tuple[int, ...]
    ncuts: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]

    @property
    def ncuts_per_cluster(self) -> NDArray[np.float64]:
        """N-cut / k: the mean share of its volume by which a cluster is tied to the rest."""
        found: NDArray[np.float64] = self.ncuts / np.array(self.ks)
        return found

    @property
    def eigengaps(self) -> NDArray[np.float64]:
        """Eigenvalue k + 1 minus eigenvalue k, of each k; NaN where every unit is a cluster."""
        padded = np.append(self.eigenvalues, np.nan)
        return np.array([padded[k] - padded[k - 1] for k in self.ks])

    @property
    def suggested(self) -> int | None:
        """The k of the largest eigengap, the smallest of such; None if no k has one."""
        gaps = self.eigengaps
        return None if np.isnan(gaps).all() else self.ks[int(np.nanargmax(gaps))]

    def table(self) -> pandas.DataFrame:
        """Return one row a k."""
        import pandas

        return pandas.DataFrame(
            {
                "n_clusters": self.ks,
                "ncut": self.ncuts,
                "ncut_per_cluster": self.ncuts_per_cluster,
                "in_out_ratio": [
                    in_out_ratio(value, k) for value, k in zip(self.ncuts, self.ks, strict=True)
                ],
                "eigenvalue": [self.eigenvalues[k - 1] for k in self.ks],
                "eigengap": self.eigengaps,
            }
        )


def cluster_numbers(
    graph: UnitGraph,
    ks: Sequence[int],
    *,
    seed: int,
    n_init: int = 5,
    select: str = "ncut",
    assign_labels: str = "kmeans",
    volume_constant: float = 0.0,
    on_clustering: Callable[[int, float], object] = lambda n_clusters, ncut: None,
) -> ClusterNumbers:
    """Cluster a graph with every number of clusters, each as :func:`spectral_clustering` does.

    A graph of k clusters that hardly touch has k eigenvalues of the normalised Laplacian near 0 and
    a large gap to the next (von Luxburg, "A tutorial on spectral clustering", 2007).

    Args:
        graph: The graph.
        ks: The numbers of clusters, ascending, each from 2 to the number of units with edges.
        seed: Fixes the k-means starts; those of each k are the ones that its clustering alone has.
        n_init: See :func:`spectral_clustering`.
        select: See :func:`spectral_clustering`.
        assign_labels: See :func:`spectral_clustering`.
        volume_constant: See :func:`spectral_clustering`.
        on_clustering: Called with every k and its n-cut, in order.

    Raises:
        InvalidInputError: If a value is out of range.
    """
    _check_numbers(ks, int((~graph.isolated).sum()))
    clusterings = []
    for k in ks:
        found = spectral_clustering(
            graph,
            k,
            seed=seed,
            n_init=n_init,
            select=select,
            assign_labels=assign_labels,
            volume_constant=volume_constant,
        )
        clusterings.append(found)
        on_clustering(k, found.ncut)
    return ClusterNumbers(
        tuple(ks), np.array([found.ncut for found in clusterings]), clusterings[-1].eigenvalues
    )


def _check_numbers(ks: Sequence[int], n_connected: int) -> None:
    for k in ks:
        check_clustering(k, n_init=1, select="ncut")
    if not ks or list(ks) != sorted(set(ks)):
        raise InvalidInputError(f"ks={list(ks)}; expected numbers of clusters, ascending")
    if ks[-1] > n_connected:
        raise InvalidInputError(
            f"{ks[-1]} clusters; expected at most {n_connected}, the number of units that have "
            "edges"
        )
