"""Picture files of all kinds that cameras and tools write."""

import numpy as np
from PIL import Image, PngImagePlugin

WIDTH, HEIGHT = 60, 40
COLOURS = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)
SCENE = Image.fromarray(np.kron(COLOURS, np.ones((10, 10, 1), np.uint8)))
OTHER = Image.fromarray(255 - np.asarray(SCENE))
ALPHA = Image.linear_gradient("L").resize((WIDTH, HEIGHT))


def see_through(mode):
    image = SCENE.convert(mode)
    image.putalpha(ALPHA)
    return image


def turned(number):
    tags = Image.Exif()
    tags[274] = number
    return dict(exif=tags)


def only_xmp():
    """An orientation that OpenCV does not read."""
    text = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description '
        'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></x:xmpmeta>'
    )
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", text)
    return dict(pnginfo=info)


def more(**kwargs):
    return dict(save_all=True, append_images=[OTHER], duration=100, **kwargs)


BEST = dict(quality=100, subsampling=0)
KINDS = {  # name -> (image, how it is saved)
    **{f"exif{n}.jpg": (SCENE, BEST | turned(n)) for n in range(10)},
    **{f"exif{n}.png": (SCENE, turned(n)) for n in (3, 6)},
    **{f"exif{n}.webp": (SCENE, turned(n) | dict(lossless=True)) for n in (3, 6)},
    **{f"exif{n}.tif": (SCENE, turned(n)) for n in (3, 6)},
    "xmp6.png": (SCENE, only_xmp()),
    "grey.png": (SCENE.convert("L"), {}),
    "grey.jpg": (SCENE.convert("L"), {}),
    "bit.png": (SCENE.convert("1"), {}),
    "bit.tif": (SCENE.convert("1"), {}),
    "deep.png": (Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27), {}),
    "deep.tif": (Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27), {}),
    "palette.png": (SCENE.quantize(8), {}),
    "palette_clear.png": (SCENE.quantize(8), dict(transparency=0)),
    "alpha.png": (see_through("RGB"), {}),
    "alpha.webp": (see_through("RGB"), dict(lossless=True, exact=True)),
    "grey_alpha.png": (see_through("L"), {}),
    "cmyk.jpg": (SCENE.convert("CMYK"), BEST),
    "cmyk.tif": (SCENE.convert("CMYK"), {}),
    "moving.gif": (SCENE, more()),
    "moving.webp": (SCENE, more(lossless=True)),
    "moving.png": (SCENE, more()),
    "moving_later.png": (SCENE, more(default_image=True)),
    "plain.bmp": (SCENE, {}),
    "plain.ppm": (SCENE, {}),
    "plain.jp2": (SCENE, {}),
}


def share(pixels, colour, within=24):
    """Share of the pixels of a picture, an array or a file, of about this colour."""
    if not isinstance(pixels, np.ndarray):
        pixels = np.asarray(Image.open(pixels).convert("RGB"))
    return (np.abs(pixels.astype(int) - np.array(colour)).max(-1) < within).mean()


def make(folder, name):
    image, how = KINDS[name]
    image.save(folder / name, **how)
    return folder / name
