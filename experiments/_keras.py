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
    # Else TensorFlow takes all of a GPU's memory at once, and runs side by side find none.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            import keras  # noqa: F401
            import tensorflow as tf

            _use_threads()
            tf.constant(0)  # sets up the devices, which prints too
        except Exception:
            printed.seek(0)
            os.write(original, printed.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)


def _use_threads() -> None:
    """Have TensorFlow compute with the threads of the run, or tell that it does not.

    A program imports it for its run, but one process can have several runs, as in a notebook.
    """
    import tensorflow as tf

    threading, processors = tf.config.threading, os.cpu_count() or 1
    used = threading.get_intra_op_parallelism_threads() or processors
    wanted = int(os.environ.get("TF_NUM_INTRAOP_THREADS") or processors)
    if wanted == used:
        return
    try:
        threading.set_intra_op_parallelism_threads(wanted)
        threading.set_inter_op_parallelism_threads(wanted)
    except RuntimeError:  # it computes already
        print(
            f"TensorFlow has begun in this process with {used} threads, and goes on with them: "
            f"the {wanted} of this run (n_threads) count in a new process"
        )


def device_name() -> str:
    """Return what TensorFlow computes on: the first GPU's name, or CPU."""
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return "CPU"
    return str(tf.config.experimental.get_device_details(devices[0]).get("device_name", "GPU"))
