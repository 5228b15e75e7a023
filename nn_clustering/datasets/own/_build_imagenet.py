"""A program that makes records of ImageNet's validation images: FOLDER MANUAL_FOLDER.

It is one of its own because TensorFlow prints at import, and takes a GPU that a run may need. It
prints nothing but why it failed.
"""

import contextlib
import io
import logging
import os
import sys


def build(folder: str, manual: str) -> None:
    """Have TensorFlow Datasets make the records, all of them or none.

    Args:
        folder: Of data sets, in which ``imagenet2012/VERSION`` is made.
        manual: The folder with the tar, and no other.
    """
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    import tensorflow_datasets as tfds

    logging.getLogger("absl").setLevel(logging.ERROR)  # it warns of the splits that are missing
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(manual_dir=manual, try_download_gcs=False)
    builder = tfds.builder("imagenet2012", data_dir=folder, try_gcs=False)
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_dir=manual, download_config=config)


if __name__ == "__main__":
    try:
        build(*sys.argv[1:])
    except Exception as error:  # whatever TensorFlow, the disk or the tar objects to
        print(f"{type(error).__name__}: {error}")
        sys.exit(1)
