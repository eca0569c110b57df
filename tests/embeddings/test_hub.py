"""Without a network a model of the hub is refused at once, and the error names the option."""

import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread

import pytest
from huggingface_hub import constants
from mmengine.registry import MODELS

import negas.register  # noqa: F401
from negas.embeddings import hub


@pytest.fixture(autouse=True)
def own_state(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    hub._answers.cache_clear()
    yield
    hub._answers.cache_clear()


def test_a_hub_that_is_away_is_switched_off(tmp_path):
    assert hub.without_waiting(str(tmp_path)) == str(tmp_path)
    assert not constants.HF_HUB_OFFLINE, "a folder needs none"
    assert hub.without_waiting("some/model") == "some/model"
    assert constants.HF_HUB_OFFLINE


def test_a_hub_that_never_answers(monkeypatch):
    monkeypatch.setattr(hub, "_SECONDS", 0.05)
    done = Event()

    def wait(*_, **__):
        done.wait(10)
        raise OSError

    monkeypatch.setattr(hub.urllib.request, "urlopen", wait)
    hub.without_waiting("some/model")
    done.set()
    assert constants.HF_HUB_OFFLINE


def test_a_hub_that_answers_whatever_it_says(monkeypatch):
    class Refuses(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(405)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refuses)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    hub.without_waiting("some/model")
    server.shutdown()
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            dict(type="CLIPTextBackbone", model_name="openai/clip", pretrained=False),
            r"model\.backbone\.text_model\.model_name='openai/clip'.*hf download openai/clip",
        ),
        (
            dict(type="BertTextModel", name="bert-base-uncased"),
            r"model\.language_model\.name='bert-base.*hf download bert-base",
        ),
    ],
)
def test_the_error_names_the_key_and_the_remedy(model, words):
    start = time.monotonic()
    with pytest.raises(ValueError, match=words):
        MODELS.build(model)
    assert time.monotonic() - start < 20
