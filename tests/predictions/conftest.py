import pytest

from benchmarks import foreign_results


@pytest.fixture
def write():
    """A function (path, content, kind): "joblib", "compressed", or "torch" and "legacy" with `write.tensor`."""

    def write(*arguments):
        return foreign_results.write(*arguments)

    write.tensor = foreign_results.Tensor
    return write
