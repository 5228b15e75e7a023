"""Drawings of clustered networks: layers as columns, clusters as colours."""
