"""COCO json files of the protocol's data sets, from official annotation files only.

One module per source: :mod:`.voc`, :mod:`.bdd100k`, :mod:`.coco_ood`, :mod:`.openimages_ood`,
:mod:`.owodb` and :mod:`.custom`. Each has a function that writes the files and returns what
to tell about them (:class:`.outcome.Prepared`). Boxes in the files are [x, y, width, height] in
pixels of the image; annotation ids start at 1, because pycocotools reads a matched id 0 as "not
matched".
"""
