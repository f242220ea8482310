"""Kills leaders and stops them, and measures until the next one decides. Called by `handover`."""

import argparse
import datetime
import math
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

# What the requirement asks for: seconds from the end of a leader to the next one's first decision.
KILLED_P99, STOPPED_P99 = 10.0, 1.0
# A hand-over that takes longer has failed.
LIMIT = 60


class Replica:
    """One `trimtab run`, with defaults for everything that matters here."""

    all = []

    def __init__(self, arguments):
        Replica.all.append(self)
        count = len(Replica.all)
        # Two run at a time; the port of one that has ended may be held by the kernel for a while.
        self.pages = arguments.pages + count % 4
        self.log = f"{arguments.run}/log/trimtab-{count}.log"
        command = [
            os.environ["TRIMTAB"], "run", "--kubeconfig", f"{arguments.run}/admin.kubeconfig",
            "--leader-elect-resource-namespace=kube-system", "--log-filter=info,trimtab=debug",
            "--listen", f"127.0.0.1:{self.pages}",
        ]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def said(self, word):
        """When it first said so, by the machine's clock, in seconds; `None`: it has not yet."""
        with open(self.log, errors="replace") as log:
            for line in log:
                if word in line and line.endswith("\n"):
                    stamp = line.split(" ", 1)[0].replace("Z", "+00:00")
                    return datetime.datetime.fromisoformat(stamp).timestamp()
        return None

    def leads(self):
        return self.said(" Leads lease=") is not None

    def stands_by(self):
        """Whether its caches are full."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.pages}/readyz", timeout=5) as answer:
                return answer.status == 200 and self.said(" Follows lease=") is not None
        except OSError:
            return False

    def await_word(self, what, look):
        end = time.monotonic() + LIMIT
        while not (found := look()):
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"handover: {what} did not come; the log is {self.log}")
            time.sleep(0.05)
        return found


def measure(arguments, how, count, lots, leader, standby):
    """So many hand-overs; gives how long each took, and who leads and stands by at the end."""
    took = []
    while len(took) < count:
        standby.await_word("the standby's caches", standby.stands_by)
        leader.await_word("a decision", lambda: leader.said(" Decided "))
        # At any moment between two renewals.
        time.sleep(lots.uniform(0, 2))
        ended = time.time()
        leader.process.send_signal(how)
        decided = standby.await_word("a decision", lambda: standby.said(" Decided "))
        leader.process.wait(timeout=LIMIT)
        took.append(decided - ended)
        leader, standby = standby, Replica(arguments)
        if len(took) % 10 == 0:
            print(f"handover: {len(took)} of {count}, {row('so far', took, 0)}", flush=True)
    return took, leader, standby


def percentile(sorted_values, share):
    """The smallest value that at least this share of all do not exceed."""
    return sorted_values[max(0, math.ceil(share * len(sorted_values)) - 1)]


def row(name, took, wanted):
    values = sorted(took)
    figures = " | ".join(f"{percentile(values, share):.2f} s" for share in (0.5, 0.9, 0.99, 1))
    return f"| {name} | {len(values)} | {figures} | {f'{wanted:g} s' if wanted else ''} |"


def main(arguments):
    lots = random.Random(1)
    leader = Replica(arguments)
    leader.await_word("the first leader", leader.leads)
    standby = Replica(arguments)
    try:
        killed, leader, standby = measure(arguments, signal.SIGKILL, arguments.kills, lots, leader, standby)
        stopped, leader, standby = measure(arguments, signal.SIGTERM, arguments.stops, lots, leader, standby)
    finally:
        for replica in Replica.all:
            if replica.process.poll() is None:
                replica.process.kill()
    day = datetime.datetime.now(datetime.timezone.utc).date()
    beside = os.environ.get("BESIDE")
    text = "\n".join([
        f"Ten autoscalers, defaults, two replicas; {day}; trimtab {os.environ['BUILD']}"
        f" ({os.path.basename(os.path.dirname(os.environ['TRIMTAB']))} build); {os.cpu_count()} cores"
        f"{f', {beside}' if beside else ''}.", "",
        "| the leader | hand-overs | median | p90 | p99 | longest | wanted p99 |", "|---|---|---|---|---|---|---|",
        row("is killed (SIGKILL)", killed, KILLED_P99), row("is told to stop (SIGTERM)", stopped, STOPPED_P99), "",
    ])
    print(text)
    if arguments.record:
        with open(arguments.record, "w") as file:
            file.write(text)
    met = percentile(sorted(killed), 0.99) < KILLED_P99 and percentile(sorted(stopped), 0.99) < STOPPED_P99
    return 0 if met else 1


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--run")
    options.add_argument("--kills", type=int)
    options.add_argument("--stops", type=int)
    options.add_argument("--pages", type=int)
    options.add_argument("--record")
    sys.exit(main(options.parse_args()))
