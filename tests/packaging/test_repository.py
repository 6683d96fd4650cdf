"""What is committed speaks of the project alone, and depends on no machine and no index."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONSTRAINTS = sorted((ROOT / "constraints").glob("*.txt"))

# Public places that a text may point to. Any other name must be one that RFC 2606 reserves.
PUBLIC_HOSTS = {
    "docs.prefect.io",
    "git-lfs.github.com",
    "keepachangelog.com",
    "semver.org",
    "www.apache.org",
    "www.w3.org",
}
RESERVED = re.compile(r"(.*\.)?(example(\.(com|org|net))?|test|invalid)$")
URL = re.compile(r"\bhttps?://(?:[^/\s@]*@)?([A-Za-z0-9.-]+\.[A-Za-z]{2,})\b")
INDEX_OPTION = re.compile(
    r"--(extra-)?index-url|--find-links|--trusted-host|\bPIP_[A-Z_]*INDEX|\bUV_[A-Z_]*INDEX"
)
HOME = re.compile(r"(?<![\w.{}$-])/(root|work|Users|home/[a-z]+)/")


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> dict[str, str]:
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in tracked()
        if path != Path(__file__)
    }


def test_no_address_of_an_unknown_host() -> None:
    hosts = {(name, host) for name, text in texts().items() for host in URL.findall(text)}
    unknown = {(name, host) for name, host in hosts if host not in PUBLIC_HOSTS and not RESERVED.match(host)}
    assert unknown == set()


def test_no_package_index_is_named() -> None:
    assert [name for name, text in texts().items() if INDEX_OPTION.search(text)] == []


def test_no_path_of_the_machine_it_was_written_on() -> None:
    assert [name for name, text in texts().items() if HOME.search(text) or str(ROOT) in text] == []


@pytest.mark.parametrize("path", CONSTRAINTS, ids=lambda path: path.stem)
def test_constraints_are_plain_pins(path: Path) -> None:
    """pip takes no extras, addresses or paths in a constraints file."""
    pins = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert [line for line in pins if not re.match(r"[a-z0-9-]+==[\w.+!]+( ; [\w.' <>=!*()]+)?$", line)] == []
