"""TensorFlow, imported without its notes on the machine."""

import os
import sys
import tempfile


def import_keras() -> None:
    """Import TensorFlow and Keras; what they print meanwhile is shown only if that fails.

    TensorFlow writes its first lines from C++ whatever its log level is, several at every import;
    they would stand between a user and a stage's own lines.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            import keras  # noqa: F401
            import tensorflow as tf

            tf.constant(0)  # sets up the devices, which prints too
        except Exception:
            printed.seek(0)
            os.write(original, printed.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
