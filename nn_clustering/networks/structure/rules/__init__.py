"""What the operations of a network make of the channels that they read, one family a file.

A rule is a function of the builder and of one step, which adds what the step makes. Which rule is
whose stands in :data:`~nn_clustering.networks.structure._layer_kinds.LAYER_KINDS`.
"""
