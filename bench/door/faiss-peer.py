"""The peer: faiss-cpu's IndexFlatIP, one thread. Reads what people.ts wrote; each line on standard input is a load as JSON, each on output what came of it."""

import json
import sys
import time

import faiss
import numpy

DIMENSIONS = 512


def read(path):
    return numpy.fromfile(path, dtype="<f4").reshape(-1, DIMENSIONS)


def main(folder, sizes, threshold, margin):
    faiss.omp_set_num_threads(1)
    gallery = read(folder + "/gallery.f32")
    probes = read(folder + "/probes.f32")
    with open(folder + "/right.json", encoding="utf-8") as file:
        right = json.load(file)
    indexes = {}
    for size in sizes:
        indexes[size] = faiss.IndexFlatIP(DIMENSIONS)
        indexes[size].add(gallery[:size])
    del gallery
    print(faiss.__version__, flush=True)

    place = 0
    for line in sys.stdin:
        load = json.loads(line)
        index, faces, rate = indexes[load["faces"]], load["faces"], load.get("ratePerS")
        calls, known, recognised, wrong = 0, 0, 0, 0
        latencies = []
        started = time.perf_counter()
        end = started + load["windowMs"] / 1000
        total = None if rate is None else max(1, round(rate * load["windowMs"] / 1000))
        while calls < total if total is not None else time.perf_counter() < end:
            if rate is None:
                due = time.perf_counter()
            else:
                due = started + calls / rate
                early = due - time.perf_counter()
                if early > 0:
                    time.sleep(early)
            probe = place % len(probes)
            place += 1
            scores, found = index.search(probes[probe : probe + 1], 2)
            is_match = scores[0][0] >= threshold and scores[0][0] - scores[0][1] >= margin
            answer = int(found[0][0]) if is_match else None
            latencies.append((time.perf_counter() - due) * 1000)
            calls += 1
            expected = right[probe][str(faces)]
            known += expected is not None
            wrong += answer != expected
            recognised += expected is not None and answer == expected
        p50, p99 = numpy.percentile(latencies, [50, 99])
        latency = {"p50": p50, "p99": p99, "max": max(latencies)}
        print(
            json.dumps(
                {"latencyMs": latency, "calls": calls, "known": known, "recognised": recognised, "wrong": wrong, "refused": {}}
            ),
            flush=True,
        )


main(sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
