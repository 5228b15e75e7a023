"""Reading folders that TensorFlow Datasets prepared; only such a folder costs its import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_tfds_folder(folder: Path) -> dict[str, NDArray[Any]]:
    """Read images and labels of both splits, in the order of their files; nothing is downloaded.

    Args:
        folder: The folder ``NAME/VERSION``, with ``dataset_info.json`` and the record files.

    Returns:
        x_train, y_train, x_test and y_test.

    Raises:
        InvalidInputError: If the folder cannot be read; a damaged record file is named.
    """
    import tensorflow_datasets as tfds

    arrays = {}
    try:
        builder = tfds.builder_from_directory(str(folder))
        for split in ("train", "test"):
            # One file after the other, so that the order does not depend on their number.
            images = builder.as_dataset(
                split=split,
                batch_size=-1,
                shuffle_files=False,
                read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
            )
            arrays[f"x_{split}"] = images["image"].numpy()
            arrays[f"y_{split}"] = images["label"].numpy()
            expected = builder.info.splits[split].num_examples
            if len(arrays[f"y_{split}"]) != expected:
                raise ValueError(
                    f"{len(arrays[f'y_{split}'])} {split} images; dataset_info.json says {expected}"
                )
    except Exception as error:  # whatever TensorFlow, its records, JSON or the disk object to
        damaged = ", ".join(map(str, _damaged_files(folder))) or folder
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InvalidInputError(
            f"{damaged} cannot be read ({reason}); expected the files that TensorFlow Datasets "
            f"prepares: replace it, or remove the folder {folder} to have the data downloaded"
        ) from error
    return arrays


def _damaged_files(folder: Path) -> list[Path]:
    import tensorflow as tf

    damaged = []
    for path in sorted(folder.glob("*.tfrecord*")):
        try:
            for _ in tf.data.TFRecordDataset(str(path)):
                pass
        except tf.errors.OpError:
            damaged.append(path)
    return damaged
