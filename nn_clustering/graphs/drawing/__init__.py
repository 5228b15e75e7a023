"""Drawings of clustered networks: layers as columns, clusters as colours."""

from nn_clustering.graphs.drawing._network import ISOLATED_COLOUR, cluster_colours, draw_network

__all__ = ["ISOLATED_COLOUR", "cluster_colours", "draw_network"]
