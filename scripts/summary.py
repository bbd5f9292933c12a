"""Counts what Meson's test logs say, shows what the tests measured, and ends with the one line that counts.

Usage: summary.py NAME=LOG.json...
Each program speaks TAP: a line for each test, and comments for measurements and for tests that cannot run here.
"""

import json
import re
import sys

passed = failed = skipped = 0
measured, broken, left_out = [], [], []

for argument in sys.argv[1:]:
    run, path = argument.split("=", 1)
    for line in open(path):
        program = json.loads(line)
        failures = 0
        said = []
        for text in program.get("stdout", "").splitlines():
            if match := re.match(r"ok .* # SKIP (.*)", text):
                skipped += 1
                left_out.append(f"{run}: {program['name']}: {match[1]}")
            elif text.startswith("ok "):
                passed += 1
            elif text.startswith("not ok "):
                failures += 1
                broken.append(f"{run}: {program['name']}: {text}")
            elif match := re.match(r"# SKIP (.*)", text):
                skipped += 1
                left_out.append(f"{run}: {program['name']}: {match[1]}")
            elif match := re.match(r"# (.*)", text):
                measured.append(f"{run}: {match[1]}")
                said.append(match[1])
        # A program that crashed, ran out of time or was stopped by valgrind may not have said so itself.
        if failures == 0 and program["result"] not in ("OK", "SKIP"):
            failures = 1
            broken.append(f"{run}: {program['name']}: ended with {program['result']}")
        failed += failures
        if failures > 0:
            broken += [f"    and it said: {text}" for text in said[-20:]]

for title, lines in ("Measured", measured), ("Skipped", left_out), ("Failed", broken):
    if lines:
        print(f"{title}:")
        for line in lines:
            print(f"  {line}")
        print()

print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
sys.exit(1 if failed > 0 or passed == 0 else 0)
