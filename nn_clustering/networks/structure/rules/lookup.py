"""Embeddings: the first weights that tokens meet."""

from nn_clustering.networks.structure._walk import Step
from nn_clustering.networks.structure._weights_builder import WeightsBuilder
from nn_clustering.networks.structure.rules.variables import kernel_of


def embedding(builder: WeightsBuilder, step: Step) -> None:
    """A dense layer that reads which token there is: a unit for each of the vocabulary.

    Used in reverse, the units are what is put out, one for each token.
    """
    layer = step.operation
    is_reversed = step.kwargs.get("reverse", step.args[1:2] == (True,))
    kernel = kernel_of(builder, step, layer.embeddings)
    if is_reversed:
        reverse = getattr(layer, "reverse_embeddings", None)
        kernel = kernel.T if reverse is None else kernel_of(builder, step, reverse)
    elif not builder.reads_tokens(step):
        raise builder.refusal(step, "which looks up what is no input of tokens")
    builder.add_weighted(step, kernel)
