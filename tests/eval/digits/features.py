"""What the worker hears of a word, as gpu-worker/src/voice/digits does it.

The two networks are openWakeWord's; samples are scaled to 16 bits, the mel values are
divided by ten and raised by two, and 76 frames are embedded at once, as there.
"""

from pathlib import Path

import numpy as np
import onnxruntime

LENGTH = 15_072  # samples: 92 frames of mel values, three windows eight frames apart
WINDOW = 76
INPUTS = 288
TAPS = 63
CUTOFF_HZ = 3700.0  # recordings of 8 kHz and of more shall sound alike
LOUDNESS = 0.1 * 32768


def low_pass():
    n = np.arange(TAPS) - TAPS // 2
    taps = np.sinc(2 * CUTOFF_HZ / 16000 * n) * (0.5 + 0.5 * np.cos(2 * np.pi * n / (TAPS + 1)))
    return taps / taps.sum()


class Network:
    loaded = {}

    @classmethod
    def once(cls, models):
        if models not in cls.loaded:
            cls.loaded[models] = cls(models)
        return cls.loaded[models]

    def __init__(self, models):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        load = lambda name: onnxruntime.InferenceSession(str(Path(models) / name), options)
        self.mel = load("speech_spectrogram.onnx")
        self.embedding = load("speech_embedding.onnx")
        self.taps = low_pass()

    def of(self, word):
        """288 numbers of a word's samples at 16 kHz."""
        word = np.convolve(word, self.taps, "same")
        word = word * (LOUDNESS / (np.sqrt((word**2).mean()) + 1e-9))
        samples = np.zeros(max(LENGTH, len(word)), np.float32)
        first = (len(samples) - len(word)) // 2
        samples[first : first + len(word)] = word
        mel = self.mel.run(None, {"input": samples[None]})[0].reshape(-1, 32) / 10 + 2
        last = len(mel) - WINDOW
        windows = np.stack([mel[at : at + WINDOW] for at in (0, last // 2, last)])
        return self.embedding.run(None, {"input_1": windows[..., None].astype(np.float32)})[0].reshape(-1)
