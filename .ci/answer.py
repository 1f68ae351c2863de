"""Checks what `kolibri --json` says of photos: answer.py LEVEL CLASS=FIRST-LAST... < report."""

import json
import pathlib
import sys

report = json.load(sys.stdin)
level, *expected = sys.argv[1:]
seen = {pathlib.Path(table["title"]).stem: table["rows"][0] for table in report["tables"]}
if level not in ("any", report["level"]):
    sys.exit(f"expected level {level}, got {report['level']}")
for photo, classes in (pair.split("=") for pair in expected):
    first, last = map(int, classes.split("-"))
    for key in ("class", "int8_class"):
        if not first <= seen[photo][key] <= last:
            sys.exit(f"{photo}: expected a {key} in {classes}, got {seen[photo]}")
print(f"level {report['level']}:", ", ".join(f"{photo} is {row['name']}" for photo, row in sorted(seen.items())))
