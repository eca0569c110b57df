"""How many negative labels? Chosen on the ID validation set, without OOD data.

    negas choose-num-labels RUN_DIR --bank data/labels/emoji_world/wide.json

RUN_DIR is the work dir of negas test with embeddings in its records (or one records file). ID
classes play the unknown in turn; the table shows how well the score parts them from the others with
the first M labels of the bank. Nothing is trained or run, so it takes seconds.
"""

import sys

from negas.cli import user_errors


@user_errors
def main() -> int:
    """Choose, print, write."""
    from pathlib import Path

    from negas.evaluation.num_labels.from_run import (
        NumLabelsOptions,
        choose_num_labels,
        chosen_bank,
    )
    from negas.files import check_file
    from negas.labels import NegativeLabelBank
    from negas.reports.num_labels import print_outcome

    options = NumLabelsOptions.parse()
    if options.save_bank:
        check_file(options.save_bank, "--save-bank", ('"choice_of_num"',), options.overwrite)
    outcome = choose_num_labels(options)
    print_outcome(outcome)
    if options.save_bank:
        bank = NegativeLabelBank.load(options.bank)
        chosen_bank(bank, outcome).save(Path(options.save_bank))
        print(f"written: {options.save_bank}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
