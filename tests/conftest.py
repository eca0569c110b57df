"""What no test may leave behind for the next."""

import sys

import pytest


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
