"""Null models: where the graphs of a null distribution come from (methods C5, C9, D1, D2, E3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph
from nn_clustering.significance._shuffles import (
    ENTRY_SHUFFLES,
    SHUFFLES,
    check_fits,
    shuffle_unchecked,
)

# Those that permute columns of value kernels, of networks with attention.
VALUE_PERMUTATIONS = ("heads", "channels")
METHODS = (*SHUFFLES, *VALUE_PERMUTATIONS, "fresh_initialisation")


class NullModel(Protocol):
    """Draws graphs at random; what a graph would be by chance."""

    @property
    def method(self) -> str:
        """Its name, for messages."""

    def draw(self, random: np.random.Generator) -> UnitGraph:
        """Return a graph."""


@dataclass(frozen=True, eq=False)
class ShuffledEdges:
    """A graph with its weights shuffled; made by :func:`shuffled_edges`.

    Attributes:
        graph: The graph that is shuffled.
        method: How; see :func:`shuffle`.
    """

    graph: UnitGraph
    method: str

    def draw(self, random: np.random.Generator) -> UnitGraph:
        """Return a shuffle of the graph."""
        return shuffle_unchecked(self.graph, self.method, random)


def shuffled_edges(
    graph: UnitGraph, method: str, *, reconnect_last_layer: bool = False
) -> ShuffledEdges:
    """Return the null model of a graph whose weights are shuffled among the units with edges.

    Args:
        graph: The graph, isolated units included.
        method: How to shuffle; see :func:`shuffle`.
        reconnect_last_layer: Whether weights may be shuffled to units of the last layer that are
            isolated in the network, as the studies' code did (quirk 11).

    Raises:
        InvalidInputError: If the method is unknown or does not fit the graph.
    """
    shuffled = graph.without_isolated(but_in_last_layer=reconnect_last_layer)
    check_fits(shuffled, method)
    return ShuffledEdges(shuffled, method)


@dataclass(frozen=True, eq=False)
class FreshNetworks:
    """Graphs of networks that were initialised like the network, and not trained.

    Their graphs are made in the process that asks for them, not in workers: networks need
    TensorFlow, which takes longer to import than they to be built.

    Attributes:
        build: Returns the graph of a network whose initial weights a seed fixes.
    """

    build: Callable[[int], UnitGraph] = field(repr=False)
    method: str = "fresh_initialisation"

    def draw(self, random: np.random.Generator) -> UnitGraph:
        """Return the graph of a fresh network."""
        return self.build(int(random.integers(2**31)))


@dataclass(frozen=True, eq=False)
class Transformed:
    """Graphs of another null model, each transformed like the graph itself was (methods C9, C10).

    Attributes:
        null: The other null model, of the graph before it was transformed.
        transform: What was done to the graph: a function that worker processes can import.
    """

    null: NullModel
    transform: Callable[[UnitGraph], UnitGraph]

    @property
    def method(self) -> str:
        """The name of the other null model."""
        return self.null.method

    def draw(self, random: np.random.Generator) -> UnitGraph:
        """Return a graph of the other null model, transformed."""
        return self.transform(self.null.draw(random))


def check_null_model(method: str, *, kernels: str | None = None) -> None:
    """Check the name of a null model, and whether it acts on what is to be shuffled.

    Args:
        method: One of :data:`METHODS`.
        kernels: ``norms`` for the weights of the graph, ``weights`` for those of the raw kernels;
            None leaves that to the method and the graph.

    Raises:
        InvalidInputError: If the method is none of them, ``kernels`` is none of these, or the
            method does not act on what it names.
    """
    if method not in METHODS:
        raise InvalidInputError(f"method={method!r}; expected one of {', '.join(METHODS)}")
    if kernels not in (None, "norms", "weights"):
        raise InvalidInputError(f"kernels={kernels!r}; expected norms or weights")
    if kernels == "norms" and method in VALUE_PERMUTATIONS:
        raise InvalidInputError(
            f"kernels=norms with method={method}, which permutes columns of raw kernels; expected "
            "kernels=None or weights"
        )
    if kernels == "weights" and method not in VALUE_PERMUTATIONS:
        check_entry_shuffle(method)


def check_entry_shuffle(method: str) -> None:
    """Check that a method can shuffle the weights within kernels.

    Raises:
        InvalidInputError: If it cannot.
    """
    if method not in ENTRY_SHUFFLES:
        raise InvalidInputError(
            f"kernels=weights with method={method}: expected kernels=norms, or method as one of "
            f"{', '.join(ENTRY_SHUFFLES)}, which look at single weights"
        )
