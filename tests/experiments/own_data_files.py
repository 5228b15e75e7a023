"""Files with data of one's own that something is wrong with, small ones, as bytes."""

import io

import numpy as np
from PIL import Image

X = np.arange(5 * 64, dtype=np.uint8).reshape(5, 8, 8, 1)
Y = np.array([0, 1, 2, 0, 9])


def npz(**arrays):
    """An .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def png(height, width):
    """An image."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(file, "PNG")
    return file.getvalue()


FILES = {
    "own.npz": npz(x_test=X, y_test=Y),
    "unlabelled.npz": npz(x_test=X),
    "short.npz": npz(x_test=X, y_test=Y[1:]),
    "nan.npz": npz(x_test=np.where(X == 70, np.nan, X), y_test=Y),
    "twelve.npz": npz(x_test=X, y_test=Y + 2),
    "pickled.npz": npz(x_test=X, y_test=Y.astype(object)),
    "two.json": b'["cat", "dog"]',
    "words.json": b'{"cat": "first"}',
    "holes.csv": b"a,b,label\n1,2,0\n3,,1\n",
    "texts.csv": b"a,b,label\n1,red,0\n3,blue,1\n",
    "broken/cat/1.png": png(8, 8)[:-35],
    "broken/dog/1.png": png(8, 8),
    "unequal/train/cat/1.png": png(8, 8),
    "unequal/test/cat/1.png": png(8, 9),
    "lacking/train/cat/1.png": png(8, 8),
    "lacking/train/dog/1.png": png(8, 8),
    "lacking/test/cat/1.png": png(8, 8),
    "my_data.py": b"""
import numpy as np
def three(): return 3
def unlucky(): raise RuntimeError("no luck")
def needy(folder): return 3
def lone(): return {"x_test": np.zeros((3, 8, 8, 1))}
def other_shape(): return np.zeros((3, 5)), [0, 1, 2]
""",
}
