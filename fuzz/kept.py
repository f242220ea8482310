#!/usr/bin/env python3
"""The inputs that are kept: fuzz/kept/TARGET.txt, one a line, written as Rust writes bytes (`escape_ascii`).

    kept.py unpack TARGET FOLDER     each to a file of its own, with the files of fuzz/seeds that are for the target
    kept.py pack TARGET FOLDER       the folder's files, and what is there for ever
    kept.py add TARGET FILE          one more of those that stay: an input that once broke something
    kept.py figures TARGET SECONDS CPU-SECONDS OUTCOME <LOG     a line of the table, from libFuzzer's log
"""
import hashlib
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
# More would slow `cargo test` and the repository down; what is rarest is dropped first, that is the largest.
MOST, MOST_BYTES = 400, 120_000
# Files of other tests that are good beginnings.
ELSEWHERE = {
    "adapter_rules": "tests/adapter-rules/*.rules.yaml",
    "configuration": "tests/cli/*.yaml",
    "manifest_file": "tests/cli/folder/*.yaml",
}
STAY = "# What once broke something: for ever."
OTHERS = "# What reaches something that nothing else here reaches."
SHORT = {9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 39: "\\'", 92: "\\\\"}


def escape(data):
    text = "".join(SHORT.get(b) or (chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in data)
    return "\\x23" + text[1:] if text.startswith("#") else text


def unescape(line):
    def one(found):
        text = found.group(1)
        if text[0] == "x":
            return bytes([int(text[1:], 16)])
        return {"t": b"\t", "n": b"\n", "r": b"\r"}.get(text, text.encode())

    data, at = b"", 0
    for found in re.finditer(r"\\(x[0-9a-f]{2}|.)", line):
        data += line[at:found.start()].encode() + one(found)
        at = found.end()
    return data + line[at:].encode()


def read(target):
    """Those that stay, and the others."""
    path = HERE / "kept" / f"{target}.txt"
    stay, others = [], []
    place = stay
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith("#"):
            place = stay if line == STAY else others
        elif line:
            place.append(unescape(line))
    return stay, others


def write(target, stay, others):
    lines = [STAY, *map(escape, stay), OTHERS, *sorted(map(escape, others))]
    (HERE / "kept").mkdir(exist_ok=True)
    (HERE / "kept" / f"{target}.txt").write_text("\n".join(lines) + "\n")


def main(command, target, *rest):
    stay, others = read(target)
    if command == "unpack":
        folder = pathlib.Path(rest[0])
        seeds = [path.read_bytes() for path in sorted((HERE / "seeds").glob("*")) if path.name.split(".")[0] == target]
        seeds += [path.read_bytes() for path in sorted(HERE.parent.glob(ELSEWHERE.get(target, "nothing")))]
        if target == "promql":
            lines = (HERE.parent / "tests/prometheus/templates.txt").read_text().splitlines()
            seeds += [line.encode() for line in lines if line and not line.startswith("#")]
        for data in stay + others + seeds:
            (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
    elif command == "pack":
        found = sorted((path.read_bytes() for path in pathlib.Path(rest[0]).iterdir()), key=len)
        kept, size = [], 0
        for data in found:
            size += len(data)
            if data and data not in stay and len(kept) < MOST and size <= MOST_BYTES:
                kept.append(data)
        write(target, stay, kept)
    elif command == "add":
        write(target, stay + [pathlib.Path(rest[0]).read_bytes()], others)
    elif command == "figures":
        log = sys.stdin.read()
        last = lambda pattern: (re.findall(pattern, log) or ["-"])[-1]
        print(target, rest[0], rest[1], last(r"number_of_executed_units: (\d+)"), last(r" ft: (\d+)"), last(r" cov: (\d+)"),
              last(r" corp: (\d+)"), last(r" corp: \d+/(\S+)"), last(r"peak_rss_mb: +(\d+)"), rest[2], sep="\t")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
