"""The peer of the CUDA backend: the same graph through PyTorch on the same device.

python3 peer.py sface.onnx    prints medians in milliseconds for batches of 1 to 32,
with copies, f32 without TF32: called step by step, and as one CUDA graph.
Needs torch, onnx and numpy, and a GPU.
"""

import json
import sys
import time

import numpy
import onnx
import torch
import torch.nn.functional as F

SIDE = 112
ROUNDS = 100


def layers(path):
    """The graph as functions in order; constants are dequantised and on the device."""
    graph = onnx.load(path).graph
    known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    there = lambda name: torch.tensor(numpy.ascontiguousarray(known[name])).cuda()
    found = []
    for node in graph.node:
        value = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        names = list(node.input)
        if node.op_type == "DequantizeLinear":
            axis, block = value.get("axis", 1), value["block_size"]
            number, scale, zero = (known[name] for name in names)
            group = numpy.arange(number.shape[axis]) // block
            spread = lambda tensor: numpy.take(tensor, group, axis=axis).astype(numpy.float32)
            known[node.output[0]] = (number.astype(numpy.float32) - spread(zero)) * spread(scale)
        elif node.op_type == "Reshape":
            known[node.output[0]] = known[names[0]].reshape(known[names[1]])
        elif node.op_type == "Sub":
            found.append(lambda x, c=there(names[1]): x - c)
        elif node.op_type == "Mul":
            found.append(lambda x, c=there(names[1]): x * c)
        elif node.op_type == "Conv":
            found.append(
                lambda x, w=there(names[1]), a=value: F.conv2d(
                    x, w, None, a["strides"], a["pads"][0], 1, a["group"]
                )
            )
        elif node.op_type == "BatchNormalization":
            gamma, beta, mean, variance = (there(name) for name in names[1:])
            found.append(
                lambda x, p=(mean, variance, gamma, beta), e=value["epsilon"]: F.batch_norm(
                    x, *p, training=False, eps=e
                )
            )
        elif node.op_type == "PRelu":
            found.append(lambda x, w=there(names[1]).reshape(-1): F.prelu(x, w))
        elif node.op_type == "Flatten":
            found.append(lambda x: x.flatten(1))
        elif node.op_type == "Gemm":
            found.append(lambda x, w=there(names[1]), b=there(names[2]): F.linear(x, w, b))
        elif node.op_type not in ("Dropout", "Constant"):
            raise SystemExit(f"{node.op_type} is not known here")
    return found


def median_ms(run):
    """The median of many runs, each waited for."""
    times = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)[ROUNDS // 2]


def main():
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    steps = layers(sys.argv[1])

    def forward(x):
        for step in steps:
            x = step(x)
        return x

    found = {}
    with torch.no_grad():
        for count in (1, 4, 16, 32):
            faces = (torch.rand(count, 3, SIDE, SIDE) * 255).pin_memory()
            for _ in range(10):
                forward(faces.cuda()).cpu()
            stepwise = median_ms(lambda: forward(faces.cuda()).cpu())
            fixed = faces.cuda()
            side = torch.cuda.Stream()
            with torch.cuda.stream(side):
                for _ in range(3):
                    forward(fixed)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                made = forward(fixed)

            def replay():
                fixed.copy_(faces)
                graph.replay()
                made.cpu()

            found[count] = {"stepwise_ms": stepwise, "graph_ms": median_ms(replay)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
