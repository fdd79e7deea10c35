"""Set before anything imports JAX: the tests run on the CPU, and TensorFlow says little.

JAX's rank promotion stays allowed: our functions take any leading axes, which is that promotion.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
