"""What several modules of tests share."""

import pytest
from support import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """One environment with every dependency of any emitted project, for fast checks."""
    return Workshop(tmp_path_factory.mktemp("workshop"))
