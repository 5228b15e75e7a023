"""How weight matrices that are products lie in an ``.npz`` file: by their factors.

``products`` has, for every matrix, the numbers of its two factors, of which it is the product
without its signs, or -1 twice where it is stored itself. ``factor_i`` is the i-th factor: what
writes into a stream has one, and what reads it, in the products with all that they are joined with.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._stored_weights import as_floating, check_memory

Factors = tuple[NDArray[np.floating], NDArray[np.floating]]

# Of a number of a product, as it is held.
_HALF = 2


def products_to_arrays(
    factors: Sequence[Factors | None],
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return which matrices are products, and their factors, as arrays of an ``.npz`` file.

    Nothing is returned where none of them is known as a product.
    """
    found = [known for known in factors if known is not None]
    if not found:
        return {}, {}
    distinct = {id(factor): factor for known in found for factor in known}
    number = {key: index for index, key in enumerate(distinct)}
    products = [
        (-1, -1) if known is None else tuple(number[id(factor)] for factor in known)
        for known in factors
    ]
    return (
        {"products": np.array(products)},
        {f"factor_{number[key]}": factor for key, factor in distinct.items()},
    )


def products_from_arrays(
    arrays: Mapping[str, NDArray[Any]], shapes: Sequence[tuple[int, int]]
) -> list[Factors | None]:
    """Return the factors of each matrix of a file, None where it is stored itself.

    Args:
        arrays: The arrays.
        shapes: Units of the source and of the target layer of each.

    Raises:
        InvalidInputError: If they do not fit, or the products are larger than the memory allows.
    """
    if "products" not in arrays:
        return [None] * len(shapes)
    products = arrays["products"]
    if products.dtype.kind not in "iu" or products.shape != (len(shapes), 2):
        raise InvalidInputError(
            f"products of type {products.dtype} and shape {products.shape}; expected two integers "
            f"for each of {len(shapes)} matrices"
        )
    check_memory(
        sum(
            _HALF * height * width
            for (height, width), (first, _) in zip(shapes, products, strict=True)
            if first >= 0
        )
    )
    numbers = np.unique(products[products >= 0])
    factors = {
        int(number): as_floating(arrays[f"factor_{number}"], f"factor_{number}").astype(
            np.float32, copy=False
        )
        for number in numbers
    }
    found: list[Factors | None] = []
    for (height, width), (first, second) in zip(shapes, products.tolist(), strict=True):
        if first < 0 and second < 0:
            found.append(None)
            continue
        left, right = factors[first], factors[second]
        if (left.ndim, right.ndim) != (2, 2) or (len(left), right.shape[1]) != (height, width):
            raise InvalidInputError(
                f"factors of shapes {left.shape} and {right.shape}; expected a product of shape "
                f"{(height, width)}"
            )
        found.append((left, right))
    return found
