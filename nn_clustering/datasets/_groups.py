"""Groups of answers: what accuracy is measured by beside the classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# In no group.
NONE = -1


@dataclass(frozen=True, eq=False)
class Groups:
    """Which group every answer of a data set belongs to: a task, a class of tokens.

    Attributes:
        kind: What a group is: "task", "token class".
        names: One name a group.
        train: Of the train part, int32 of the shape of its labels, in 0..groups - 1, or -1 for in
            none.
        test: Of the test part.

    Raises:
        InvalidInputError: If they are not as above.
    """

    kind: str
    names: tuple[str, ...]
    train: NDArray[np.int32]
    test: NDArray[np.int32]

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or not self.kind:
            raise InvalidInputError(f"groups of the kind {self.kind!r}; expected a word")
        if not self.names or len(set(self.names)) != len(self.names):
            raise InvalidInputError(
                f"groups named {list(self.names)}; expected one name a group, no two alike"
            )
        for split in ("train", "test"):
            self._check(split, getattr(self, split))

    def of(self, split: str) -> NDArray[np.int32]:
        """Return the groups of a part's answers, "train" or "test"."""
        found: NDArray[np.int32] = getattr(self, split)
        return found

    def chosen(self, split: str, rows: NDArray[np.integer] | slice) -> Groups:
        """Return the groups where only some samples of a part are taken."""
        taken: dict[str, Any] = {split: self.of(split)[rows]}
        return replace(self, **taken)

    def _check(self, split: str, numbers: Any) -> None:
        if not isinstance(numbers, np.ndarray) or numbers.dtype != np.int32:
            kind = getattr(numbers, "dtype", type(numbers).__name__)
            raise InvalidInputError(f"groups of the {split} part of {kind}; expected int32")
        if numbers.size and not (numbers.min() >= NONE and numbers.max() < len(self.names)):
            raise InvalidInputError(
                f"groups of the {split} part run from {numbers.min()} to {numbers.max()}; expected "
                f"0 to {len(self.names) - 1}, or {NONE} for in none"
            )
