#!/usr/bin/env python3
"""Makes golden/image/: small pictures of every kind that is read, and pictures.json with what OpenCV makes of them.

Needs numpy, Pillow and OpenCV (4.6 made the files that are kept here).  "crc32" is over the upright RGB pixels.  Where
the library and OpenCV differ on purpose, the entry says "ours" and the pixels are computed here.
"""
import io
import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

OUT = Path(__file__).parent / "image"
RNG = np.random.default_rng(7)
WIDTH, HEIGHT = 37, 26
entries = []


def scene(channels=3, width=WIDTH, height=HEIGHT, top=255):
    """Smooth waves with some noise: every sample of an edge block differs from its neighbours."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (3 + c) + c) * np.cos(y / (5 - c)) for c in range(channels)]
    noisy = np.stack(waves, -1) * 0.45 + 0.5 + RNG.normal(0, 0.03, (height, width, channels))
    return np.clip(noisy * top, 0, top).astype(np.uint16 if top > 255 else np.uint8)


def pil(array, kind, **options):
    file = io.BytesIO()
    mode = options.pop("mode", None)
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array, mode).save(file, kind, **options)
    return file.getvalue()


def keep(name, data, ours=None):
    """Writes a picture and its expected pixels: OpenCV's, or `ours` where we differ from it on purpose."""
    (OUT / name).write_bytes(data)
    pixels = cv2.imread(str(OUT / name), cv2.IMREAD_COLOR)
    assert pixels is not None, name
    pixels = pixels[:, :, ::-1] if ours is None else ours
    crc = zlib.crc32(np.ascontiguousarray(pixels).tobytes())
    entry = {"file": name, "width": pixels.shape[1], "height": pixels.shape[0], "crc32": crc}
    entries.append(entry | ({} if ours is None else {"ours": True}))


# ---- EXIF ----


def tiff(orientation, order="<", before=b"", count=None):
    """A TIFF block with one orientation entry; `before` stands in front of it, `count` lies about the entries."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    entry = struct.pack(order + "HHIHH", 0x112, 3, 1, orientation, 0)
    number = count or 1 + len(before) // 12
    return head + struct.pack(order + "H", number) + before + entry + struct.pack(order + "I", 0)


def app1(data):
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data


def with_app1(jpeg, *segments):
    return jpeg[:2] + b"".join(map(app1, segments)) + jpeg[2:]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def turned(a, orientation):
    """The picture upright: EXIF's eight cases."""
    if orientation >= 5:
        a = a.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        a = a[:, ::-1]
    if orientation in (3, 4, 7, 8):
        a = a[::-1]
    return a


def make_orientations():
    small = scene(width=11, height=6)
    jpeg, png = pil(small, "JPEG"), pil(small, "PNG")
    for o in range(1, 9):
        order = "<>"[o % 2]
        block = tiff(o, order)
        keep(f"exif-{o}.jpg", with_app1(jpeg, b"Exif\0\0" + block))
        keep(f"exif-{o}.png", png[:33] + chunk(b"eXIf", block) + png[33:])
        prefix = b"Exif\0\0" if o % 3 else b""
        keep(f"exif-{o}.webp", pil(small, "WEBP", lossless=True, exif=prefix + block), turned(small, o))
    keep("exif-behind.png", png[:-12] + chunk(b"eXIf", tiff(6)) + png[-12:])
    keep("exif-0.jpg", with_app1(jpeg, b"Exif\0\0" + tiff(0)))
    keep("exif-9.jpg", with_app1(jpeg, b"Exif\0\0" + tiff(9)))
    keep("exif-twice.jpg", with_app1(jpeg, b"Exif\0\0" + tiff(6), b"Exif\0\0" + tiff(3)))
    keep("exif-count.jpg", with_app1(jpeg, b"Exif\0\0" + tiff(8, count=900)))
    upright = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>"
    keep("exif-after-xmp.jpg", with_app1(jpeg, xmp, b"Exif\0\0" + tiff(6)), turned(upright, 6))
    lost = struct.pack("<HHII", 0x10F, 2, 100, 9999)  # the camera's name, said to lie beyond the end
    keep("exif-lost-name.jpg", with_app1(jpeg, b"Exif\0\0" + tiff(6, before=lost)), turned(upright, 6))


# ---- formats ----


def make_jpeg():
    rgb, gray, cmyk = scene(), scene(1), scene(4)
    for subsampling, name in enumerate(("444", "422", "420")):
        keep(f"rgb-{name}.jpg", pil(rgb, "JPEG", subsampling=subsampling, quality=85))
        keep(f"rgb-{name}-progressive.jpg", pil(rgb, "JPEG", subsampling=subsampling, progressive=True, quality=40))
    keep("gray.jpg", pil(gray, "JPEG"))
    keep("gray-progressive.jpg", pil(gray, "JPEG", progressive=True))
    keep("three-scans.jpg", in_three_scans())
    restart = [cv2.IMWRITE_JPEG_RST_INTERVAL, 2, cv2.IMWRITE_JPEG_QUALITY, 70]
    keep("restart.jpg", cv2.imencode(".jpg", rgb, restart)[1].tobytes())
    keep("pixel.jpg", pil(scene(width=1, height=1), "JPEG"))
    jpeg = pil(gray, "JPEG")
    keep("extraneous.jpg", jpeg[:20] + b"\0" * 5 + jpeg[20:-2] + b"\0\0\0" + jpeg[-2:])
    inks = pil(cmyk, "JPEG", mode="CMYK")
    adobe = inks.index(b"Adobe") - 4
    keep("cmyk.jpg", inks)
    keep("ycck.jpg", inks[: adobe + 15] + b"\2" + inks[adobe + 16 :])
    keep("cmyk-no-adobe.jpg", inks[:adobe] + inks[adobe + 16 :])
    stored_rgb = b"\xff\xee\0\x0eAdobe\0d\0\0\0\0\0"
    jpeg = pil(rgb, "JPEG", subsampling=0)
    keep("adobe-rgb.jpg", jpeg[:2] + stored_rgb + jpeg[2:])


def in_three_scans():
    """A baseline JPEG of three components that are not interleaved, put together from three gray ones."""
    planes = [pil(scene(1), "JPEG") for _ in range(3)]
    frame, tables, scan = (planes[0].index(mark) for mark in (b"\xff\xc0", b"\xff\xc4", b"\xff\xda"))
    parts = b"".join(bytes([c, 0x11, 0]) for c in (1, 2, 3))
    size = struct.pack(">BHHB", 8, HEIGHT, WIDTH, 3)
    data = planes[0][:frame] + b"\xff\xc0\0\x11" + size + parts + planes[0][tables:scan]
    for c, plane in enumerate(planes, 1):
        begin = plane.index(b"\xff\xda") + 10
        data += b"\xff\xda\0\x08\1" + bytes([c, 0, 0, 63, 0]) + plane[begin:-2]
    return data + b"\xff\xd9"


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def random_png(width, height, depth, colour, interlaced, chunks=b""):
    """Random bits as pixels, unfiltered."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    rows = b""
    for x0, y0, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        columns = len(range(x0, width, dx))
        for _ in range(y0, height if columns else 0, dy):
            rows += b"\0" + RNG.bytes((columns * samples * depth + 7) // 8)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    parts = chunk(b"IHDR", header) + chunks + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def make_png():
    kinds = {
        0: ("gray", (1, 2, 4, 8, 16)),
        2: ("rgb", (8, 16)),
        3: ("palette", (1, 2, 4, 8)),
        4: ("graya", (8, 16)),
        6: ("rgba", (8, 16)),
    }
    clear = {0: struct.pack(">H", 1), 2: struct.pack(">HHH", 1, 2, 3), 3: b"\0\x80", 4: b"", 6: b""}
    for colour, (name, depths) in kinds.items():
        for depth in depths:
            chunks = chunk(b"PLTE", RNG.bytes(3 << depth)) if colour == 3 else b""
            chunks += chunk(b"tRNS", clear[colour]) if clear[colour] else b""
            keep(f"{name}{depth}.png", random_png(13, 9, depth, colour, 0, chunks))
            keep(f"{name}{depth}-interlaced.png", random_png(11, 7, depth, colour, 1, chunks))
    gamma = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sBIT", b"\5\6\5") + chunk(b"bKGD", bytes(6))
    keep("gamma.png", random_png(9, 5, 8, 2, 0, gamma))
    keep("filtered.png", pil(scene(4), "PNG"))


def make_webp():
    rgb, rgba = scene(), scene(4)
    keep("lossy.webp", pil(rgb, "WEBP", quality=60))
    keep("lossless.webp", pil(scene(width=12, height=9), "WEBP", lossless=True))
    keep("lossy-alpha.webp", pil(rgba, "WEBP", quality=60))
    keep("lossless-alpha.webp", pil(scene(4, 12, 9), "WEBP", lossless=True, exact=True))


def pnm(kind, maximum, comment=""):
    """A PNM file and its samples."""
    channels = 3 if kind in "36" else 1
    samples = RNG.integers(0, maximum + 1, (5, 7, channels))
    header = f"P{kind}\n{comment}7 5\n{maximum}\n".encode()
    if kind in "23":
        return header + " ".join(map(str, samples.ravel())).encode() + b"\n", samples
    return header + samples.astype(">u2" if maximum > 255 else "u1").tobytes(), samples


def make_pnm():
    for kind in "2356":
        suffix = "ppm" if kind in "36" else "pgm"
        for maximum in (255, 65535):
            keep(f"p{kind}-{maximum}.{suffix}", pnm(kind, maximum, "# 12 a comment\n#\n")[0])
        data, samples = pnm(kind, 15)
        scaled = np.broadcast_to(samples * 255 // 15, (5, 7, 3)).astype(np.uint8)
        keep(f"p{kind}-15.{suffix}", data, None if kind in "23" else scaled)
        data, samples = pnm(kind, 1023)
        keep(f"p{kind}-1023.{suffix}", data, np.broadcast_to(samples * 65535 // 1023 >> 8, (5, 7, 3)).astype(np.uint8))


def main():
    OUT.mkdir(exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    make_orientations()
    make_jpeg()
    make_png()
    make_webp()
    make_pnm()
    animated = [Image.fromarray(scene(width=8, height=6)) for _ in range(2)]
    animated[0].save(OUT / "animated.webp", save_all=True, append_images=animated[1:], lossless=True)
    lines = ",\n".join(json.dumps(e) for e in entries)
    (OUT / "pictures.json").write_text("[\n" + lines + "\n]\n")


main()
