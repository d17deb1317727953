"""Settings shared by all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest
import torch

# The slow re-implementations are imported as reference.dense.
sys.path.insert(0, str(Path(__file__).parent))

hypothesis.settings.register_profile("signalrp", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("signalrp")
# Two cores are often shared; many small products are faster on one.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real signals, named by SIGNALRP_SHARED_DATA."""
    folder = os.environ.get("SIGNALRP_SHARED_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SIGNALRP_SHARED_DATA names no folder: real signals are not here")
    return Path(folder).resolve()
