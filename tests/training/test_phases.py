"""Settings out of range are refused in one line that names the key, without TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest

from nn_clustering.datasets import Dataset
from nn_clustering.errors import InvalidInputError
from nn_clustering.training import (
    Augmentation,
    ClusterabilityGradient,
    Penalty,
    Phase,
    PruningSchedule,
    check_phase,
)

SCHEDULE = {"initial_sparsity": 0.5, "final_sparsity": 0.9, "n_steps": 10}
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("settings", "values", "message"),
    [
        (Phase, {"epochs": 0}, "training.epochs=0; expected an integer of 1 or more"),
        (Phase, {"epochs": 1.5}, "training.epochs=1.5; expected an integer"),
        (Phase, {"epochs": True}, "training.epochs=True; expected an integer"),
        (
            Phase,
            {"epochs": 0, "pruning": PruningSchedule(**SCHEDULE)},
            "pruning.epochs=0; expected an integer of 1 or more",
        ),
        (Phase, {"batch_size": 0}, "training.batch_size=0; expected an integer of 1 or more"),
        (Phase, {"learning_rate": 0}, "training.learning_rate=0; expected a number of more than 0"),
        (Phase, {"learning_rate": NAN}, "training.learning_rate=nan; expected"),
        (Phase, {"learning_rate": INFINITY}, "training.learning_rate=inf; expected"),
        (Phase, {"learning_rate": "high"}, "training.learning_rate='high'; expected"),
        (Phase, {"shuffle": "no"}, "training.shuffle='no'; expected True or False"),
        (Phase, {"name": ""}, "a phase named ''; expected a word"),
        (PruningSchedule, {"final_sparsity": 1.0}, "pruning.final_sparsity=1.0; expected 0 <="),
        (PruningSchedule, {"initial_sparsity": 0.95}, "pruning.initial_sparsity=0.95 and"),
        (PruningSchedule, {"initial_sparsity": -0.1}, "pruning.initial_sparsity=-0.1 and"),
        (PruningSchedule, {"final_sparsity": NAN}, "pruning.final_sparsity=nan; expected"),
        (PruningSchedule, {"final_sparsity": "most"}, "pruning.final_sparsity='most'; expected"),
        (PruningSchedule, {"every_n_steps": 0}, "pruning.every_n_steps=0; expected an integer"),
        (PruningSchedule, {"every_n_steps": 2.5}, "pruning.every_n_steps=2.5; expected"),
        (PruningSchedule, {"n_steps": 0}, "pruning.n_steps=0; expected an integer of 1 or more"),
        (PruningSchedule, {"power": 0}, "pruning.power=0; expected more than 0"),
        (Penalty, {"l1": -1}, "penalty.l1_rate=-1; expected a number of 0 or more"),
        (Penalty, {"l2": NAN}, "penalty.l2_rate=nan; expected a number of 0 or more"),
        (Penalty, {"l2": INFINITY}, "penalty.l2_rate=inf; expected"),
        (Penalty, {"first_layer_l1": 1}, "penalty.first_layer_l1=1; expected True or False"),
        (Augmentation, {"rotation": -3}, "augmentation.rotation=-3; expected a number of 0 to 180"),
        (Augmentation, {"shift": 1.5}, "augmentation.shift=1.5; expected a number of 0 to 1"),
        (Augmentation, {"shift": NAN}, "augmentation.shift=nan; expected"),
        (Augmentation, {"flip": "often"}, "augmentation.flip='often'; expected True or False"),
        (ClusterabilityGradient, {"weight": -1}, "clusterability_gradient.weight=-1; expected"),
        (
            ClusterabilityGradient,
            {"n_eigenvalues": 0},
            "clusterability_gradient.n_eigenvalues=0; expected an integer of 1 or more",
        ),
        (ClusterabilityGradient, {"kernel_norm": "l7"}, "kernel_norm='l7'; expected one of l1"),
        (
            ClusterabilityGradient,
            {"norm_by_threshold": 1},
            "clusterability_gradient.norm_by_threshold=1; expected True or False",
        ),
    ],
)
def test_refuses(settings, values, message):
    good = SCHEDULE if settings is PruningSchedule else {}
    settings(**good)
    with pytest.raises(InvalidInputError, match=message) as refusal:
        settings(**{**good, **values})
    assert "\n" not in str(refusal.value)


def vectors():
    x, y = np.zeros((5, 3), np.float32), np.zeros(5, np.int32)
    return Dataset("points", x, y, x, y, ("a", "b"))


def test_batch_and_data(digits):
    check_phase(Phase(batch_size=200), digits)
    message = "training.batch_size=201; expected 1 to 200, the number .* of digits200"
    with pytest.raises(InvalidInputError, match=message):
        check_phase(Phase(batch_size=201), digits)


def test_only_images_are_augmented(digits):
    check_phase(Phase(batch_size=5, augmentation=Augmentation()), digits)
    check_phase(Phase(batch_size=5), vectors())
    with pytest.raises(InvalidInputError, match="sample of points is a vector of 3 numbers; exp"):
        check_phase(Phase(batch_size=5, augmentation=Augmentation()), vectors())


def test_settings_need_no_tensorflow():
    program = (
        "import sys; from nn_clustering.training import Phase, Penalty, Checkpoint, check_phase;"
        "Phase(penalty=Penalty(l1=1e-5)); sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
