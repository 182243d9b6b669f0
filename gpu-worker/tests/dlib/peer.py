"""dlib's own answer for the picture that tests/dlib.rs makes.

python3 peer.py dlib_resnet.dat > expected.txt    needs dlib and numpy
"""

import sys

import dlib
import numpy

SIDE = 150
y, x = numpy.mgrid[0:SIDE, 0:SIDE]
planes = [(x * 7 + y * 3 + x * y // 9 + 50 * c) % 256 for c in range(3)]
picture = numpy.stack(planes, axis=2).astype(numpy.uint8)
network = dlib.face_recognition_model_v1(sys.argv[1])
print(f"# dlib {dlib.__version__}")
for value in network.compute_face_descriptor(picture):
    print(f"{value:.9g}")
