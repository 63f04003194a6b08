#!/usr/bin/env python3
"""Counts instructions per decision under callgrind and compares them with benches/instructions.json.

    benches/instructions.py            compare; exit 1 where a scenario takes too many more
    benches/instructions.py --write    make what is counted now the baseline
    benches/instructions.py roles/10   count these scenarios only
    benches/instructions.py --dist     show what a build by the profile `dist` takes; the baseline is of `release`

Needs valgrind. Counts depend on the compiler: with another rustc than the baseline's they are shown and
not held against anybody.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BASELINE = HERE / "instructions.json"
DECISIONS = 1_000
# Hash seeds are random: what a table's probes cost differs a little from run to run.
TOLERANCE = 1.08
SCENARIOS = [
    "roles/10",
    "roles/1000",
    "roles-links/1000",
    "roles-schema/10",
    "roles-schema/1000",
    "shares/10",
    "shares/1000",
    "open/1000",
    "context/2",
    "context/16",
    "groups/64",
    "depth/16",
    "scored-roles-schema/10",
    "gdrive/50",
    "github/50",
    "tinytodo/50",
    "body-roles/1000",
    "body-roles-schema/10",
    "body-scored-roles-schema/10",
    "body-shares/1000",
]


def build(profile):
    # Server and command line are not counted, and not built.
    options = ["--locked", "--profile", profile, "--no-default-features", "--features", "json"]
    command = ["cargo", "bench", *options, "--bench", "instructions", "--no-run", "--message-format=json"]
    # What is counted is told by its symbols.
    environment = {**os.environ, "CARGO_PROFILE_DIST_STRIP": "none"}
    run = subprocess.run(command, cwd=HERE.parent, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    for line in run.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "instructions":
            return message["executable"]
    sys.exit("cargo built no benchmark `instructions`")


def count(program, scenario):
    command = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--toggle-collect=instructions::decisions*",
        "--toggle-collect=instructions::answers*",
        program,
        scenario,
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"{scenario}: {done.stderr.strip()}")
    return int(found.group(1)) // DECISIONS


def main():
    arguments = sys.argv[1:]
    write = "--write" in arguments
    scenarios = [argument for argument in arguments if not argument.startswith("--")] or SCENARIOS
    compiler = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    known = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"rustc": "", "instructions": {}}
    dist = "--dist" in arguments
    program = build("dist" if dist else "bench")
    counted, worse = {}, []
    print(f"{'scenario':<20} {'instructions':>12} {'baseline':>12} {'ratio':>7}")
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    counts = pool.map(lambda scenario: count(program, scenario), scenarios)
    for scenario, now in zip(scenarios, counts):
        counted[scenario] = now
        before = known["instructions"].get(scenario)
        ratio = now / before if before else float("nan")
        print(f"{scenario:<20} {now:>12} {before or '-':>12} {ratio:>7.3f}", flush=True)
        if before and ratio > TOLERANCE:
            worse.append(scenario)
    if dist:
        return
    if write:
        instructions = {**known["instructions"], **counted}
        BASELINE.write_text(json.dumps({"rustc": compiler, "instructions": instructions}, indent=2) + "\n")
    elif known["rustc"] != compiler:
        print(f"the baseline is of {known['rustc']}, this is {compiler}: not compared")
    elif worse:
        sys.exit(f"more instructions than the baseline allows: {', '.join(worse)}")


main()
