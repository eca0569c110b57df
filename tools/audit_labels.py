"""Which negative labels name an OOD test class? ``negas audit-labels BANK --ood NAMES``.

BANK is a label bank or a file of candidates. NAMES is a text file (one class per line, further
names of it behind commas), a JSON list, a COCO json (the categories that occur in it), or the names
themselves.

    negas audit-labels data/labels/voc.json --ood data/labels/ood_names/coco_ood_voc.txt

The exit code is 0 whatever is found, unless --fail-on asks for 1; 2 stands for bad input.
"""

import sys

from negas.cli import user_errors
from negas.files import check_file, write_json
from negas.labels.audit import AuditOptions, print_report, run_audit


@user_errors
def main() -> int:
    options = AuditOptions.parse(description=__doc__)
    if options.json_file:
        check_file(options.json_file, "--json", ('"num_ood_classes"',), options.overwrite)
    report = run_audit(options)
    print_report(report)
    if options.json_file:
        write_json(options.json_file, report.to_dict())
        print(f"written: {options.json_file}")
    return int(options.fail_on is not None and report.fails(options.fail_on))


if __name__ == "__main__":
    sys.exit(main())
