"""A folder's config.json, whose settings are asked for one by one and checked."""

from collections.abc import Mapping
from typing import Any

from nn_clustering.errors import InvalidInputError


class Settings:
    """The settings of a network, with what it is not rebuilt for."""

    def __init__(self, config: Mapping[str, Any], source: str) -> None:
        """Begin.

        Args:
            config: What the file holds.
            source: The file, for messages.
        """
        self._config = config
        self.source = source
        self.graph_only: str | None = None

    def value(self, name: str, default: Any = None) -> Any:
        """Return a setting, or the default where it is missing or null."""
        found = self._config.get(name)
        return default if found is None else found

    def count(self, name: str, default: int | None = None) -> int:
        """Return a setting that is a number of things.

        Raises:
            InvalidInputError: If it is missing, or not 1 or more.
        """
        found = self.value(name, default)
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            raise self.refusal(name, found, "1 or more")
        return found

    def number(self, name: str, default: float) -> float:
        """Return a setting that is a positive number.

        Raises:
            InvalidInputError: If it is none.
        """
        found = self.value(name, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < 1e30:
            raise self.refusal(name, found, "a positive number")
        return float(found)

    def flag(self, name: str, default: bool) -> bool:
        """Return a setting that is true or false.

        Raises:
            InvalidInputError: If it is neither.
        """
        found = self.value(name, default)
        if not isinstance(found, bool):
            raise self.refusal(name, found, "true or false")
        return found

    def refusal(self, name: str, found: object, expected: str) -> InvalidInputError:
        """Return the error that a setting is not what is expected."""
        return InvalidInputError(f"{self.source} has {name}={found!r}; expected {expected}")

    def only_graph(self, reason: str) -> None:
        """Say that the network is not rebuilt as it computes, and why; its first reason counts."""
        self.graph_only = self.graph_only or reason

    @property
    def task(self) -> str:
        """What its head is for, as its class's name ends; empty for none."""
        classes = self.value("architectures", [])
        name = classes[0] if isinstance(classes, list) and classes else ""
        for task in ("LMHeadModel", "ForCausalLM", "ForMaskedLM", "ForPreTraining"):
            if str(name).endswith(task):
                return "tokens"
        for task in ("ForSequenceClassification", "ForImageClassification"):
            if str(name).endswith(task):
                return "classes"
        return ""

    @property
    def n_labels(self) -> int:
        """How many classes a classifier has; the folder says it by their names, or is of two."""
        labels = self.value("id2label")
        if isinstance(labels, Mapping) and labels:
            return len(labels)
        return self.count("num_labels", 2)
