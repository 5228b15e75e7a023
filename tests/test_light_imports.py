"""What a command needs before it computes: no name of it imports more than NumPy."""

import ast
import subprocess
import sys

import pytest

# What takes long to import, or is imported for computing only.
HEAVY = {
    *("keras", "tensorflow", "scipy", "networkx", "sklearn", "sknetwork", "skimage"),
    *("matplotlib", "pandas", "joblib"),
}

NAMES = {
    "datasets": "Dataset dataset_task load_dataset require_dataset polynomial_names",
    "networks": "check_network imagenet_network network_code read_file",
    "networks.structure": "NetworkWeights LayerKind check_kernel_norm layer_kind kernels_of",
    "graphs": "UnitGraph check_activation_settings unit_sets normalise_units",
    "training": "Phase check_phase",
    "partitions": "Partition SizeFilter check_clustering check_draws check_partition_settings",
    "significance": "NullModel ShuffleTest SubClusterTest check_n_permutations check_n_shuffles "
    "check_shuffle_test shuffle_test",
    "lesions": "Groups LesionTest check_lesion_test lesion_test",
    "visualisation": "Objective TopSamples VisualisationTest top_samples visualisation_test",
    "reports": "NetworkTable NetworkTest StudiedNetwork",
}


@pytest.mark.parametrize("package", NAMES)
def test_imports_no_more_than_numpy(package):
    names = ", ".join(NAMES[package].split())
    code = f"import sys; from nn_clustering.{package} import {names}; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.intersection(ast.literal_eval(done.stdout)) == set()
