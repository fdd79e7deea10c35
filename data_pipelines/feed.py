"""A function step -> batch as a tf.data.Dataset, which makes batches ahead of time."""

import atexit
import os
import threading
import time
from collections.abc import Callable

import numpy as np

Batch = dict[str, np.ndarray]
AHEAD = 2  # batches


def as_dataset(make: Callable[[int], Batch], start_step: int):
    """An endless tf.data.Dataset of make(start_step), make(start_step + 1), ... in order.

    Args:
      make: function of the step; all batches have the keys, shapes and types of the first.

    `AHEAD` batches are made ahead. Accelerators are hidden from TensorFlow: they belong to JAX.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    for kind in ("GPU", "TPU"):
        tf.config.set_visible_devices([], kind)
    example = make(start_step)
    keys = sorted(example)
    worker = _Worker(lambda step: [batch[key] for batch in [make(int(step))] for key in keys])

    def fetch(step):
        arrays = tf.numpy_function(worker, [step], [example[key].dtype for key in keys], stateful=False)
        for array, key in zip(arrays, keys):
            array.set_shape(example[key].shape)
        return dict(zip(keys, arrays))

    options = tf.data.Options()
    options.threading.private_threadpool_size = 2
    options.threading.max_intra_op_parallelism = 1
    options.deterministic = True
    steps = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max)
    return steps.map(fetch, num_parallel_calls=1, deterministic=True).prefetch(AHEAD).with_options(options)


class _Worker:
    """Runs a function for TensorFlow's threads, and ends before the interpreter does.

    A TensorFlow thread that calls Python while the interpreter shuts down never returns, and the interpreter
    waits for it forever. So the exit waits for the running call. A few later calls, until the buffers are
    full, return the last result again; nobody reads it.
    """

    def __init__(self, function: Callable):
        self._function = function
        self._busy = threading.Lock()
        self._closed = False
        self._calls = 0
        self._last = None
        atexit.register(self._close)

    def __call__(self, *args):
        with self._busy:
            self._calls += 1
            if not self._closed:
                self._last = self._function(*args)
            return self._last

    def _close(self):
        self._closed = True
        before = -1
        while before != self._calls:
            with self._busy:
                before = self._calls
            time.sleep(0.1)
