"""Sacred's metrics, each point of which goes to the journal when it is logged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from sacred.metrics_logger import MetricsLogger, ScalarMetricLogEntry

from nn_clustering.tracking.writing.delivery import now


class JournaledMetrics(MetricsLogger):  # type: ignore[misc]  # Sacred has no types
    """Logs points in the place of Sacred's own, which keeps them until the next heartbeat."""

    def __init__(self, log_point: Callable[[str, Any, Any], None]) -> None:
        """Hand each point's name, value and step to `log_point`."""
        super().__init__()
        self._log_point = log_point
        self._for_others: deque[ScalarMetricLogEntry] = deque()

    def log_scalar_metric(self, metric_name: str, value: Any, step: Any = None) -> None:
        """Log one point."""
        if step is None:
            step = self._metric_step_counter.get(metric_name, -1) + 1
        self._metric_step_counter[metric_name] = step
        self._log_point(metric_name, value, step)
        # For other observers. Sacred's queue, interrupted in the middle, would never open again.
        self._for_others.append(ScalarMetricLogEntry(metric_name, step, now(), value))

    def get_last_metrics(self) -> list[ScalarMetricLogEntry]:
        """What was logged since the last call."""
        return [self._for_others.popleft() for _ in range(len(self._for_others))]
