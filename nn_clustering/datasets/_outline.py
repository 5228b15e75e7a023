"""What is known of a data set before it is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outline:
    """What is known of a data set before it is read; None is what reading alone tells.

    Attributes:
        name: Its name.
        task: "classification" or "regression".
        input_shape: Of one sample.
        n_outputs: Number of classes or targets.
        n_train: Number of training samples.
        n_tokens: Number of tokens of its vocabulary; None where samples are no tokens.
        answers_positions: Whether a class is asked at every position of a sample.
    """

    name: str
    task: str | None = None
    input_shape: tuple[int, ...] | None = None
    n_outputs: int | None = None
    n_train: int | None = None
    n_tokens: int | None = None
    answers_positions: bool = False
