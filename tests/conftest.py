"""What holds for all tests, and what none may leave behind for the next."""

import os
import sys
from pathlib import Path

import pytest

FIXTURES = ("text_fixtures", "encoder_fixtures", "fresh_environment")
pytest_plugins = [f"tests.helpers.{name}" for name in FIXTURES]

# No test needs the hub. Its client reads this when it is first imported, and would retry for long.
os.environ["HF_HUB_OFFLINE"] = "1"


ROOT = Path(__file__).parents[1]
CACHES = ("__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis")
# MMEngine collects the results of several processes in .dist_test
TOOLS_OF_TESTS = ("work_dirs", ".coverage", ".dist_test", ".cache", *CACHES)


@pytest.fixture(autouse=True, scope="session")
def nothing_is_left_in_the_checkout():
    """Commands run in the repository's root in many tests; what they write lies elsewhere."""
    before = set(os.listdir(ROOT))
    yield
    left = set(os.listdir(ROOT)) - before
    left = sorted(name for name in left if not name.startswith(TOOLS_OF_TESTS))
    assert not left, f"the tests have left {', '.join(left)} in {ROOT}"


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


@pytest.fixture(scope="module")
def in_root():
    """The repository's root as working directory, which paths in configs are relative to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        yield
