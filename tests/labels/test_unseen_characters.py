"""Characters that nobody sees in a name, but tokenizers and comparisons do."""

import json

import pytest

from negas.labels.bank import NegativeLabelBank
from negas.labels.names import read_names, read_ood_names

UNSEEN = ["cat\nbird", "\x1b[31mred", "cat\u202egod", "cat\u200b", "\ufeffcat", "\ud800", "a\tb"]


def from_json(names, tmp_path):
    path = tmp_path / "names.json"
    path.write_text(json.dumps(names))
    return str(path)


@pytest.mark.parametrize("name", UNSEEN, ids=ascii)
def test_they_are_refused_wherever_names_are_read(name, tmp_path):
    unseen = next(c for c in name if not c.isprintable())
    for read in (read_names, read_ood_names):
        for given in (["dog", name], from_json(["dog", name], tmp_path)):
            with pytest.raises(ValueError, match=rf"entry 1 is .*U\+{ord(unseen):04X}") as caught:
                read(given)
            assert str(caught.value).isprintable()
    with pytest.raises(ValueError, match="'neg_labels' entry 0 is .*is not seen"):
        NegativeLabelBank(id_labels=["dog"], neg_labels=[name])


def test_letters_of_all_scripts_pass(tmp_path):
    names = ("猫", "می‌خواهم", "क्‍ष", "café", "wine\u00a0glass", "👩‍🚒", "tench, Tinca tinca")
    assert read_names(from_json(names, tmp_path)) == names
    assert [one for (one,) in read_ood_names(from_json(names, tmp_path))] == list(names)
