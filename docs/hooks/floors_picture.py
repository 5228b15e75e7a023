"""Draws docs/images/floors.svg: `python docs/hooks/floors_picture.py`."""

from pathlib import Path

PICTURE = Path(__file__).resolve().parents[1] / "images" / "floors.svg"
# From the top down; the rooms of a floor do not import each other.
FLOORS = (
    (("experiments", "one file a stage: loads, calls the library, logs"),),
    (("reports", "figures, tables, drawings of networks"),),
    (("lesions", "engine, single and double tests"),),
    (("significance", "null models, p-values, combination"),),
    (
        ("partitions", "n-cut, clustering, sub-clusters"),
        ("training", "epochs, pruning, penalties"),
    ),
    (("graphs", "of weights, activations, gradients"),),
    (
        ("datasets", "sources, by rule, composed"),
        ("networks", "builders, files, structure"),
    ),
    (("errors, seeds, threads", ""),),
)
TRACKING = (
    (("stages", "experiment, configs, reuse"), ("command_line", "list, show, compare, ...")),
    (("store", "find, table, lineage, artifacts"),),
    (("writing", "observer, journal, delivery"), ("omniboard", "page, columns")),
    (("server", "embedded or named MongoDB"),),
    (("errors, names, encoding, gridfs", ""),),
)
WIDTH, HEIGHT, GAP = 440, 54, 12
LEFT, RIGHT, TOP = 10, 480, 64
TEXT = "#1c2833"


def picture() -> str:
    """Return the picture as SVG."""
    height = TOP + len(FLOORS) * (HEIGHT + GAP) + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {RIGHT + WIDTH + LEFT} {height}" '
        'font-family="sans-serif" role="img">',
        "<title>The floors of the library; imports go down only</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        _text(LEFT, 36, "experiments/ and nn_clustering/", 20, weight="bold"),
        _text(RIGHT, 36, "nn_clustering/tracking/", 20, weight="bold"),
        *_house(FLOORS, LEFT, "#dce8f2", "#5b84a8"),
        *_house(TRACKING, RIGHT, "#e6efdf", "#6d9455", below=len(FLOORS) - len(TRACKING)),
        _text(
            LEFT,
            height - 18,
            "Imports go down only. Only errors, reports and experiments know tracking, "
            "and tracking knows nothing of the rest.",
            15,
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _house(floors, left, fill, stroke, below=0):
    for index, rooms in enumerate(floors, start=below):
        width = (WIDTH - GAP * (len(rooms) - 1)) / len(rooms)
        top = TOP + index * (HEIGHT + GAP)
        for place, (name, about) in enumerate(rooms):
            x = left + place * (width + GAP)
            yield (
                f'<rect x="{x:g}" y="{top}" width="{width:g}" height="{HEIGHT}" rx="6" '
                f'fill="{fill}" stroke="{stroke}"/>'
            )
            yield _text(x + 12, top + (24 if about else 33), name, 17, weight="bold")
            if about:
                yield _text(x + 12, top + 43, about, 13)


def _text(x, y, text, size, weight="normal"):
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{TEXT}">'
        f"{text}</text>"
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
