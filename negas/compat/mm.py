"""Import this in front of mmdet or mmyolo where a module may be the first of negas to need them.

``negas.models``, ``negas.register`` and the data sets that build on mmdet do; all else comes after.
"""

from . import install

install()
