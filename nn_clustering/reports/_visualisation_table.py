"""What a table says of tests of inputs that were optimised for sub-clusters of networks."""

from nn_clustering.reports._studied_networks import NetworkTest

VISUALISATIONS = NetworkTest(
    stage="visualise",
    measures=("score", "entropy", "dispersion", "top_entropy"),
    optional=("entropy", "top_entropy"),
    corrected=("score", "entropy"),
    scores=("top_share", "score_quantile", "profile_correlation"),
    further_effects=("effect_each",),
    besides=("random_inputs",),
)
