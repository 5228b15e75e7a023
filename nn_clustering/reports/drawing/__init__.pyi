from ._network import (
    ISOLATED_COLOUR as ISOLATED_COLOUR,
    cluster_colours as cluster_colours,
    draw_network as draw_network,
)
