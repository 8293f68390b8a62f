#!/usr/bin/env python3
"""Checks the house rules that a compiler doesn't: which room includes which, file sizes, depth of folders, sorted tables."""
import pathlib
import re
import sys

ORDER = ["base", "ir", "op", "format", "pass", "plan", "cpu", "cuda", "apple", "insight", "lang", "cli"]
MAX_LINES = 800
MAX_DEPTH = 3

root = pathlib.Path(__file__).resolve().parent.parent
errors = []

for path in sorted((root / "src").rglob("*")):
    if not path.is_file() or path.suffix not in {".cpp", ".hpp", ".inc", ".cu", ".js", ".css"}:
        continue
    parts = path.relative_to(root / "src").parts
    room = parts[0]
    lines = path.read_text().splitlines()
    name = path.relative_to(root)
    if room not in ORDER:
        errors.append(f"{name}: '{room}' is not a room")
        continue
    if len(lines) > MAX_LINES:
        errors.append(f"{name}: {len(lines)} lines, at most {MAX_LINES}")
    if len(parts) > MAX_DEPTH:
        errors.append(f"{name}: deeper than {MAX_DEPTH} folders")
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#include "([a-z]+)/', line)
        if match and match[1] in ORDER and ORDER.index(match[1]) > ORDER.index(room):
            errors.append(f"{name}:{number}: room '{room}' may not include room '{match[1]}'")

rows = re.findall(r"^TL_OP_ROW\((\w+)\)", (root / "src/op/ops.inc").read_text(), re.M)
if rows != sorted(rows) or len(rows) != len(set(rows)):
    errors.append("src/op/ops.inc: rows are not sorted, or one stands twice")

print("\n".join(errors) if errors else "rooms: every include, size and table is in order")
sys.exit(1 if errors else 0)
