"""Take over into the documentation what the tests of the pages have shot: `make screenshots`.

A page has few colours, so a palette of them makes a picture of it a third as large, and nobody sees the difference.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
SHOWN = ("rack", "rack-dark", "rack-phone", "rack-lineage", "airflow")


def main() -> None:
    """Write docs/screenshots anew."""
    for name in SHOWN:
        target = ROOT / "docs/screenshots" / f"{name}.png"
        with Image.open(ROOT / "build/screenshots" / f"{name}.png") as shot:
            few = shot.convert("RGB").quantize(
                256, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
            )
            few.save(target, optimize=True)
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
