"""What a table says of lesion tests of networks."""

from nn_clustering.reports._studied_networks import NetworkTest

LESIONS = NetworkTest(
    stage="lesion",
    measures=("importance", "coherence"),
    corrected=("importance", "coherence"),
    scores=("accuracy", "mean_squared_error"),
    besides=("double", "heads", "single_units"),
)
