"""What holds for all tests, and what none may leave behind for the next."""

import os
import sys

import pytest

pytest_plugins = ["tests.helpers.text_fixtures", "tests.helpers.encoder_fixtures"]

# No test needs the hub. Its client reads this when it is first imported, and would retry for long.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def forget_visualizers():
    """MMEngine's hooks draw with the visualizer made last in the process, whoever made it."""
    yield
    if module := sys.modules.get("mmengine.visualization"):
        classes = [module.Visualizer]
        while classes:
            each = classes.pop()
            each._instance_dict.clear()
            classes += each.__subclasses__()
