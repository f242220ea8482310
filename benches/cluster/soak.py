"""Runs trimtab behind a proxy that flaps, samples what it holds, and judges whether that grows. Called by `soak`."""

import argparse
import asyncio
import datetime
import os
import random
import re
import signal
import statistics
import sys
import time
import urllib.request

# How often what the process holds is looked at.
SAMPLE_SECONDS = 5
# The most that memory may have grown by, from the first minutes after the warm-up to the last ones.
MOST_GROWTH = 0.02
# Tasks and descriptors come and go with requests: so many more in the median are no leak.
SLACK = 5
# What rows are called that are not called as in `held`.
LABELS = {"rss": "resident memory, MiB", "own": "of that its own", "files": "of that the binary's"}
# The two spans that are compared, in seconds.
SPAN = 240


class Proxy:
    """Carries bytes to the API server, unless it is told not to."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.pairs = set()
        self.away = False
        self.open = asyncio.Event()
        self.open.set()

    async def serve(self, reader, writer):
        if self.away:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, up_writer)
        self.pairs.add(pair)
        try:
            await asyncio.gather(self.carry(reader, up_writer), self.carry(up_reader, writer))
        finally:
            self.pairs.discard(pair)
            for side in pair:
                side.transport.abort()

    async def carry(self, reader, writer):
        try:
            while data := await reader.read(65536):
                await self.open.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.transport.abort()

    def cut(self):
        for pair in list(self.pairs):
            for side in pair:
                side.transport.abort()


async def flap(proxy, metricsd, told):
    """Round after round, each trouble with well times between; the same in every run."""
    lots = random.Random(1)
    while True:
        for trouble in ("cut", "away", "silent", "no metrics"):
            await asyncio.sleep(lots.uniform(12, 22))
            told[trouble] = told.get(trouble, 0) + 1
            if trouble == "cut":
                proxy.cut()
            elif trouble == "away":
                proxy.away = True
                proxy.cut()
                await asyncio.sleep(5)
                proxy.away = False
            elif trouble == "silent":
                proxy.open.clear()
                await asyncio.sleep(9)
                proxy.open.set()
            else:
                os.kill(metricsd, signal.SIGSTOP)
                try:
                    await asyncio.sleep(20)
                finally:
                    os.kill(metricsd, signal.SIGCONT)


def held(pid, pages):
    """What the process holds: resident KiB, descriptors, threads, and the runtime's tasks.

    Resident memory is its own (anonymous: what it has allocated, stacks) and that of files, which is the binary: the kernel drops
    pages of that which were not used for a while, and maps up to 2 MiB around one that is used again."""
    with open(f"/proc/{pid}/status") as file:
        status = file.read()
    number = lambda name: int(re.search(rf"^{name}:\s+(\d+)", status, re.M).group(1))
    with urllib.request.urlopen(f"http://127.0.0.1:{pages}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    value = lambda name: sum(float(found) for found in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", metrics, re.M))
    return {
        "rss": number("VmRSS"),
        "own": number("RssAnon"),
        "files": number("RssFile"),
        "threads": number("Threads"),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "tasks": value("trimtab_tasks"),
        "evaluations": value("horizontal_pod_autoscaler_controller_reconciliation_duration_seconds_count"),
    }


async def main(arguments):
    with open(f"{arguments.run}/metricsd.pid") as file:
        metricsd = int(file.read())
    proxy, told = Proxy(arguments.upstream), {}
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", arguments.listen)
    log = open(f"{arguments.run}/log/trimtab.log", "wb")
    child = await asyncio.create_subprocess_exec(
        os.environ["TRIMTAB"], "run", "--kubeconfig", f"{arguments.run}/flapping.kubeconfig",
        "--listen", f"127.0.0.1:{arguments.pages}", "--leader-elect-resource-namespace=kube-system",
        stdout=log, stderr=log,
    )
    samples, flapping, began = [], None, time.monotonic()
    warm_up, whole = arguments.warm_up * 60, (arguments.warm_up + arguments.minutes) * 60
    try:
        while (now := time.monotonic() - began) < whole:
            # The caches are filled in peace.
            if flapping is None and now > 45:
                flapping = asyncio.create_task(flap(proxy, metricsd, told))
            if flapping is not None and flapping.done():
                flapping.result()
            if child.returncode is not None:
                sys.exit(f"soak: trimtab ended with {child.returncode}; its log is {log.name}")
            await asyncio.sleep(SAMPLE_SECONDS)
            try:
                samples.append((time.monotonic() - began, await asyncio.to_thread(held, child.pid, arguments.pages)))
            except OSError as problem:
                print(f"soak: no sample: {problem}", file=sys.stderr)
            if len(samples) % 24 == 1:
                print(f"soak: {samples[-1][0]:.0f} s: {samples[-1][1]}", flush=True)
    finally:
        if flapping is not None:
            flapping.cancel()
            await asyncio.gather(flapping, return_exceptions=True)
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
            await child.wait()
        server.close()
    return report(arguments, samples, told, warm_up, whole)


def report(arguments, samples, told, warm_up, whole):
    """Prints and records the figures; 1 where something grew."""
    span = min(SPAN, (whole - warm_up) / 2)
    first = [held for at, held in samples if warm_up <= at < warm_up + span]
    last = [held for at, held in samples if at >= whole - span]
    if min(len(first), len(last)) < 5:
        sys.exit("soak: too few samples")
    median = lambda spans, name: statistics.median(held[name] for held in spans)
    rows, grew = [], []
    for name, unit in (("rss", 1024), ("own", 1024), ("files", 1024), ("descriptors", 1), ("threads", 1), ("tasks", 1)):
        before, after = median(first, name) / unit, median(last, name) / unit
        most = max(held[name] for at, held in samples if at >= warm_up) / unit
        leaks = after > before * (1 + MOST_GROWTH) if unit == 1024 else after > before + SLACK
        if leaks:
            grew.append(name)
        label = LABELS.get(name, name)
        rows.append(f"| {label} | {before:.1f} | {after:.1f} | {(after / before - 1) * 100:+.1f} % | {most:.1f} |")
    evaluations = samples[-1][1]["evaluations"] - next(held for at, held in samples if at >= warm_up)["evaluations"]
    troubles = ", ".join(f"{count} times {name}" for name, count in told.items())
    day = datetime.datetime.now(datetime.timezone.utc).date()
    text = "\n".join([
        f"Size {arguments.size}, {arguments.minutes:g} minutes after a warm-up of {arguments.warm_up:g}, on {day}; trimtab {os.environ['BUILD']}"
        f" ({os.path.basename(os.path.dirname(os.environ['TRIMTAB']))} build); {os.cpu_count()} cores. {evaluations:.0f} evaluations.",
        f"Troubles: {troubles}.", "",
        f"| | first {span / 60:g} minutes, median | last {span / 60:g} minutes, median | growth | most |", "|---|---|---|---|---|", *rows, "",
    ])
    print(text)
    if arguments.record:
        with open(arguments.record, "w") as file:
            file.write(text)
    if grew:
        print(f"soak: grew: {', '.join(grew)}", file=sys.stderr)
    return 1 if grew else 0


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--size")
    options.add_argument("--run")
    options.add_argument("--upstream", type=int)
    options.add_argument("--listen", type=int)
    options.add_argument("--pages", type=int)
    options.add_argument("--warm-up", type=float)
    options.add_argument("--minutes", type=float)
    options.add_argument("--record")
    sys.exit(asyncio.run(main(options.parse_args())))
