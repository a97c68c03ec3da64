"""Small pictures of every kind, and their pixels as diffusers' load_image gives them.

usage: make_decoded_pictures.py OUT_DIR      needs: pillow numpy safetensors
       (the pixels in data/ came from pillow 13)
"""
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps
from safetensors.numpy import save_file

WIDTH, HEIGHT = 25, 17  # odd, so that chroma blocks are cut


def png_16_bit(path, pixels, colour_type):
    """Pillow writes no 16-bit colours, so chunk by chunk."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def write_pictures(out):
    rng = np.random.RandomState(1)
    yy, xx = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = np.stack([xx * 9, yy * 13, xx * yy % 256], -1) + rng.randint(0, 20, (HEIGHT, WIDTH, 3))
    rgb = Image.fromarray(smooth.clip(0, 255).astype(np.uint8))
    rgba = rgb.copy()
    rgba.putalpha(Image.fromarray((xx * 10).astype(np.uint8)))
    inverted = ImageOps.invert(rgb)
    turned = Image.Exif()
    turned[274] = 6  # orientation: turn clockwise
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()

    rgb.save(out / "plain.jpg")
    rgb.save(out / "chroma-420.jpg", quality=70, subsampling=2)
    rgb.save(out / "chroma-422.jpg", quality=70, subsampling=1)
    rgb.save(out / "chroma-444.jpg", quality=70, subsampling=0)
    rgb.save(out / "progressive.jpg", progressive=True)
    rgb.convert("L").save(out / "grey.jpg")
    rgb.save(out / "turned.jpg", exif=turned)
    rgb.save(out / "turned.png", exif=turned)
    rgb.save(out / "turned.webp", exif=turned)
    rgb.save(out / "lossy.webp", quality=70)
    rgba.save(out / "alpha-lossy.webp", quality=70)
    rgba.save(out / "alpha-lossless.webp", lossless=True)
    rgb.save(out / "animated.webp", save_all=True, append_images=[inverted], duration=50)
    rgb.save(out / "animated.png", save_all=True, append_images=[inverted], duration=50)
    rgba.save(out / "alpha.png")
    rgba.convert("LA").save(out / "grey-alpha.png")
    rgb.convert("L").save(out / "grey.png")
    rgb.convert("1").save(out / "one-bit.png")
    rgb.quantize(7).save(out / "palette.png")
    rgb.quantize(7).save(out / "palette-transparent.png", transparency=3)
    rgb.save(out / "profile.png", icc_profile=profile)
    deep = rng.randint(0, 65536, (HEIGHT, WIDTH, 4))
    png_16_bit(out / "deep.png", deep[:, :, :3], 2)
    png_16_bit(out / "deep-alpha.png", deep, 6)
    png_16_bit(out / "deep-grey-alpha.png", deep[:, :, :2], 4)


def main():
    out = Path(sys.argv[1]) / "decoded-pictures"
    out.mkdir(parents=True, exist_ok=True)
    write_pictures(out)
    pixels = {}
    for path in sorted(out.iterdir()):
        if path.suffix == ".safetensors":
            continue
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        pixels[path.name] = np.asarray(image).astype(np.float32)
    save_file(pixels, out / "pixels.safetensors")


main()
