"""Counts what Meson's test logs say, shows what the tests measured, and ends with the one line that counts.

Usage: summary.py NAME=LOG.json[=STATUS]...
STATUS is what `meson test` ended with; it may be left out. Each program speaks TAP: a line for each test, and comments for measurements and
for tests that cannot run here. A program that crashed, ran out of time or told no plan counts as a failure, and so does
a run that left no log or ended badly without a failed test.
"""

import json
import re
import sys

passed = failed = skipped = 0
measured, broken, left_out = [], [], []

def read_log(path):
    try:
        return [json.loads(line) for line in open(path)]
    except (OSError, ValueError) as error:
        broken.append(f"{path}: {error}")
        return []


for argument in sys.argv[1:]:
    run, path, status = (argument + "=0").split("=")[:3]
    failed_before = failed
    programs = read_log(path)
    for program in programs:
        failures = 0
        plans, results = [], 0
        said = []
        for text in program.get("stdout", "").splitlines():
            results += text.startswith(("ok ", "not ok "))
            if match := re.match(r"1\.\.([0-9]+)", text):
                plans.append(int(match[1]))
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
        if failures == 0 and plans != [results]:
            failures = 1
            broken.append(f"{run}: {program['name']}: planned {plans} tests, and told of {results}")
        failed += failures
        if failures > 0:
            broken += [f"    and it said: {text}" for text in said[-20:]]
    if failed == failed_before and (status != "0" or not programs):
        failed += 1
        broken.append(f"{run}: meson ended with {status} and told of {len(programs)} programs")

for title, lines in ("Measured", measured), ("Skipped", left_out), ("Failed", broken):
    if lines:
        print(f"{title}:")
        for line in lines:
            print(f"  {line}")
        print()

print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
sys.exit(1 if failed > 0 or passed == 0 else 0)
