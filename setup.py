"""The packages of a wheel; all else about it is in pyproject.toml.

Two folders that a checkout has at its top are put where an installed package finds them. Listing
packages in pyproject.toml as well would take them all by name.
"""

from setuptools import find_packages, setup

FOLDERS = {
    "experiments.configs": "configs",
    "nn_clustering.tracking.omniboard.package": "devops/omniboard",
}

setup(
    packages=[*find_packages(include=["nn_clustering*", "experiments*"]), *FOLDERS],
    package_dir=FOLDERS,
    package_data={
        "": ["*.pyi"],  # what the packages hand out is listed there
        "experiments.configs": ["*.yaml", "*/**/*.yaml"],
        "nn_clustering.reports.page": ["templates/*"],
        "nn_clustering.tracking.omniboard.package": ["*.js", "package*.json"],
    },
)
