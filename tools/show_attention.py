"""Where the texts look: ``negas attention CONFIG CHECKPOINT IMAGE [IMAGE ...]``.

For each image one page: attention of YOLO-World's neck or Grounding DINO's encoder, level by level,
under the ID texts, under the negative texts (NegA's branch without its noise), and the difference.
"""

import sys
from dataclasses import dataclass

from negas.cli import add_config_options, load_config, user_errors
from negas.command_line import CommandLine
from negas.options import option
from negas.weights.released import CHECKPOINT


@user_errors
def main() -> int:
    from negas.apis.attention import PageOptions, check_pages, draw_attention
    from negas.apis.labels import LabelOptions

    @dataclass(frozen=True, kw_only=True)
    class AttentionOptions(PageOptions, LabelOptions):
        """Draw text-guided attention as heat maps."""

        config: str = option(help="config file", positional=True)
        checkpoint: str = option(help=CHECKPOINT, positional=True)
        images: tuple[str, ...] = option(
            help="image files, or one folder", metavar="IMAGE", positional=True
        )
        out_dir: str = option("work_dirs/attention", help="where to put the pages", output=True)
        device: str | None = option(None, help="e.g. cuda:0 or cpu")

    parser = CommandLine(description=AttentionOptions.__doc__)
    AttentionOptions.add_to(parser)
    add_config_options(parser)
    args = parser.parse_args()
    options = AttentionOptions.from_args(args)
    cfg = load_config(options.config, args.cfg_options)
    from negas.apis.inferencer import Inferencer
    from negas.apis.inputs import Pictures
    from negas.apis.outputs import print_left_out, print_unreadable

    given = options.images
    pictures = Pictures.of(given[0] if len(given) == 1 else given)
    check_pages(options.out_dir, pictures)
    print_left_out(pictures)
    inferencer = Inferencer(
        cfg, options.checkpoint, options.device, **options.labels(), calibration=None
    )
    written = draw_attention(inferencer, pictures, options.out_dir, options)
    pages = "1 page is" if len(written) == 1 else f"{len(written)} pages are"
    print(f"{pages} in {options.out_dir}")
    return print_unreadable(pictures.unreadable)


if __name__ == "__main__":
    sys.exit(main())
