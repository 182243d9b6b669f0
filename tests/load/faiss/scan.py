"""FAISS's own brute force over 8-bit vectors, timed on order.

`scan.py FILE ROWS SAMPLES COMPONENTS`: little-endian float32, the rows and then the samples.
Then for each line that is read all samples are searched, one after the other and each for
its nearest row, on one thread; the answer is a line of JSON: processor seconds of that, and
the nearest row of each.
"""

import json
import sys
import time

import faiss
import numpy

faiss.omp_set_num_threads(1)
path, rows, samples, components = sys.argv[1], *map(int, sys.argv[2:5])
vectors = numpy.fromfile(path, dtype="<f4").reshape(rows + samples, components)
kind = faiss.ScalarQuantizer.QT_8bit
index = faiss.IndexScalarQuantizer(components, kind, faiss.METRIC_INNER_PRODUCT)
index.train(vectors[:rows])
index.add(vectors[:rows])
asked = [vectors[rows + at : rows + at + 1] for at in range(samples)]
print(json.dumps({"version": faiss.__version__, "options": faiss.get_compile_options().split()}), flush=True)
for _ in sys.stdin:
    begun = time.thread_time()
    found = [index.search(one, 1)[1] for one in asked]
    spent = time.thread_time() - begun
    print(json.dumps({"seconds": spent, "nearest": [int(one[0, 0]) for one in found]}), flush=True)
