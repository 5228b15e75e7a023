"""A program that makes records of ImageNet's validation images: TEMPORARY_FOLDER FOLDER.

It is one of its own because TensorFlow prints at import, and takes a GPU that a run may need. It
prints nothing but why it failed.
"""

import contextlib
import io
import logging
import os
import shutil
import sys
from pathlib import Path


def build(temporary: str, folder: str) -> None:
    """Have TensorFlow Datasets make the records, and move them to their place, all or none.

    Args:
        temporary: A folder on the same disk, with the tar alone.
        folder: In which ``VERSION`` is made.
    """
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    import tensorflow_datasets as tfds

    logging.getLogger("absl").setLevel(logging.ERROR)  # it warns of the splits that are missing
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(manual_dir=temporary, try_download_gcs=False)
    builder = tfds.builder("imagenet2012", data_dir=temporary, try_gcs=False)
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_dir=temporary, download_config=config)
    made = Path(builder.data_dir)
    made.rename(Path(folder) / made.name)
    shutil.rmtree(temporary, ignore_errors=True)  # whoever waited for it may have been killed


if __name__ == "__main__":
    try:
        build(*sys.argv[1:])
    except Exception as error:  # whatever TensorFlow, the disk or the tar objects to
        print(f"{type(error).__name__}: {error}")
        sys.exit(1)
    except KeyboardInterrupt:  # of a terminal, which interrupts the run that waits for it, too
        sys.exit(130)
