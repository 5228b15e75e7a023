"""L1 and L2 penalties on kernels (methods A11, quirk 3)."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from nn_clustering.training._phases import Penalty


def penalty_term(kernels: Sequence[keras.Variable], penalty: Penalty) -> tf.Tensor:
    """Return what a penalty adds to the loss, a float32 scalar.

    Args:
        kernels: Kernels in the network's order.
        penalty: The rates.
    """
    terms = [tf.constant(0.0)]
    for index, kernel in enumerate(kernels):
        as_l1 = penalty.first_layer_l1 and index == 0
        l1, l2 = (penalty.l1 + penalty.l2, 0.0) if as_l1 else (penalty.l1, penalty.l2)
        weights = tf.cast(kernel.value, tf.float32)
        if l1:
            terms.append(l1 * _sum(tf.abs(weights)))
        if l2:
            terms.append(l2 * _sum(tf.square(weights)))
    return tf.add_n(terms)


def _sum(terms: tf.Tensor) -> tf.Tensor:
    """Return the sum of non-negative terms."""
    # By columns XLA adds several times faster than all at once, which costs as much as a good part
    # of a training step; without abs, which changes nothing, it joins the two sums to one again.
    by_column = tf.reduce_sum(tf.reshape(terms, [-1, terms.shape[-1]]), axis=0)
    return tf.reduce_sum(tf.abs(by_column))
