"""OpenCV's own answer for the picture that tests/tensorflow.rs makes.

python3 peer.py inception_resnet_v1.pb > expected.txt    needs opencv-python-headless (4.x) and numpy
"""

import sys

import cv2
import numpy

SIDE = 160
y, x = numpy.mgrid[0:SIDE, 0:SIDE]
planes = [(x * 7 + y * 3 + x * y // 9 + 50 * c) % 256 for c in range(3)]
picture = (numpy.stack(planes).astype(numpy.float32) - 127.5) / 128.0
network = cv2.dnn.readNetFromTensorflow(sys.argv[1])
network.setInput(picture[None])
vector = network.forward()[0].astype(numpy.float64)
vector /= numpy.linalg.norm(vector)
print(f"# OpenCV {cv2.__version__}")
for value in vector:
    print(f"{value:.9g}")
