"""Commands that are refused, in the tests' own process."""

import pytest
from sacred.arg_parser import get_config_updates

from experiments import cluster, import_network, lesion, pipeline, shuffle_test, visualise
from nn_clustering.errors import NnClusteringError

EXPERIMENTS = {
    stage.experiment.path: stage.experiment
    for stage in (cluster, import_network, lesion, pipeline, shuffle_test, visualise)
}


def refusal(stage, *arguments):
    """The message of a command that is refused before its run begins."""
    updates, named = get_config_updates(arguments)
    with pytest.raises(NnClusteringError) as refused:
        EXPERIMENTS[stage].run(config_updates=updates, named_configs=named)
    assert "\n" not in str(refused.value)
    return str(refused.value)
