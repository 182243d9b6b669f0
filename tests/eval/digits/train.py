"""Trains the head that hears digits, and says how well it hears speakers it never heard.

    python train.py DIGITS MODELS OUT [--json FILE]

DIGITS holds a folder for each speaker with DIGIT_SPEAKER_N.wav (16 bits, 8 kHz), MODELS the
two networks as `cargo xtask models fetch` installs them. OUT is the head the worker reads
(gpu-worker/src/voice/digits/head.rs). Everything is drawn from fixed seeds.
"""

import argparse
import json
import sys
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve, lfilter, resample_poly

import features
import synthetic

ALTERED = 4  # altered copies of each recording
ALTERED_SYNTHETIC = 1
SYNTHETIC_WEIGHT = 0.5  # of all synthetic words together, to all recorded ones
PENALTY = 3e-3  # times the squared weights
STEPS = 200
TRIALS = 4000  # recordings of six digits that are put together for each speaker


def read(folder):
    """Recordings as (speaker, digit, number, samples at 8 kHz)."""
    import wave

    found = []
    for path in sorted(Path(folder).glob("*/*.wav")):
        digit, speaker, number = path.stem.split("_")
        with wave.open(str(path)) as file:
            shape = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            if shape != (1, 2, 8000):
                sys.exit(f"{path}: one channel of 16 bits at 8000 Hz is needed, not {shape}")
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
        found.append((speaker, int(digit), int(number), samples))
    return found


def faster(x, factor):
    """Faster and higher by a factor."""
    part = Fraction(factor).limit_denominator(40)
    return resample_poly(x, part.denominator, part.numerator)


def in_a_room(x, draw):
    """With an echo that dies away: noise under an exponential, 0.1 to 0.5 s."""
    fades = draw.uniform(0.08, 0.5)
    t = np.arange(int(fades * 16000)) / 16000
    echo = draw.standard_normal(len(t)) * np.exp(-6.9 * t / fades)
    echo *= draw.uniform(0.06, 0.75) / np.sqrt((echo**2).sum())
    echo[0] = 1
    return fftconvolve(x, echo)[: len(x) + 1600]


def coloured(x, draw):
    """Through another microphone: octaves louder or fainter at random, often a tilt."""
    at = np.array([0, 150, 300, 600, 1200, 2400, 4000, 8000.0])
    gains = draw.normal(0, 3, len(at)) + draw.normal(0, 2) * np.log2(np.maximum(at, 100) / 1000)
    if draw.random() < 0.3:
        gains[:2] -= 15
    hertz = np.fft.rfftfreq(len(x), 1 / 16000)
    return np.fft.irfft(np.fft.rfft(x) * 10 ** (np.interp(hertz, at, gains) / 20), len(x))


def noise(length, draw):
    pole = draw.choice([0, 0.8, 0.95])
    made = lfilter([1], [1, -pole], draw.standard_normal(length + 100))[100:]
    return made / np.sqrt((made**2).mean())


def altered(samples, draw):
    """Another tempo and pitch, room, microphone, edges of the word, and noise."""
    x = resample_poly(samples, 2, 1)
    if draw.random() < 0.9:
        x = faster(x, float(np.exp(draw.uniform(np.log(0.82), np.log(1.22)))))
    if draw.random() < 0.5:
        x = in_a_room(x, draw)
    if draw.random() < 0.7:
        x = coloured(x, draw)
    # From 35 ms too little to 90 ms too much on each side.
    before, behind = (int(16 * ms) for ms in draw.uniform(-35, 90, 2))
    loud = np.sqrt((x**2).mean())
    x = np.pad(x, (max(before, 0), max(behind, 0)))
    x = x[max(-before, 0) : len(x) - max(-behind, 0)]
    return x + noise(len(x), draw) * loud * 10 ** (-draw.uniform(8, 45) / 20)


def words(task):
    """Features of a recording and of its altered copies."""
    models, seed, samples, copies = task
    heard = features.Network.once(models)
    all_of = [resample_poly(samples, 2, 1)]
    all_of += [altered(samples, np.random.default_rng([*seed, n])) for n in range(copies)]
    return np.stack([heard.of(x) for x in all_of])


def every(models, seed, recordings, copies):
    tasks = [(models, (seed, at), x, copies) for at, x in enumerate(recordings)]
    with get_context("spawn").Pool(2) as pool:
        return np.stack(pool.map(words, tasks, chunksize=50))


def logs(x, head):
    z = x @ head[0] + head[1]
    z -= z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def fit(x, digits, weights):
    """Multinomial logistic regression over standardised features, which are folded in."""
    from scipy.optimize import minimize

    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-3
    x, one, weights = (x - mean) / spread, np.eye(10)[digits], weights / weights.sum()
    inputs = x.shape[1]

    def cost(p):
        w, b = p[:-10].reshape(inputs, 10), p[-10:]
        log = logs(x, (w, b))
        off = (np.exp(log) - one) * weights[:, None]
        slope = np.concatenate([(x.T @ off + 2 * PENALTY * w).ravel(), off.sum(axis=0)])
        return PENALTY * (w**2).sum() - ((one * log).sum(axis=1) * weights).sum(), slope

    found = minimize(cost, np.zeros(inputs * 10 + 10), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    w, b = found.x[:-10].reshape(inputs, 10) / spread[:, None], found.x[-10:]
    return w, b - mean @ w


def train(recorded, digits, keep, made, made_digits):
    """A head from the recordings that are kept and all synthetic words."""
    copies, synthetic_copies = recorded.shape[1], made.shape[1]
    x = np.concatenate([recorded[keep].reshape(-1, features.INPUTS), made.reshape(-1, features.INPUTS)])
    y = np.concatenate([np.repeat(digits[keep], copies), np.repeat(made_digits, synthetic_copies)])
    own = keep.sum() * copies
    weights = np.full(len(y), SYNTHETIC_WEIGHT / max(len(y) - own, 1))
    weights[:own] = 1 / own
    return fit(x, y, weights)


def trials(log, digits, other_log, other_digits, draw):
    """Six words at a time: (mean log, by how much a word is beaten) for each kind."""
    by_digit = [np.flatnonzero(digits == d) for d in range(10)]
    of_other = [np.flatnonzero(other_digits == d) for d in range(10)]

    def measured(logs_of, asked):
        own = np.array([row[d] for row, d in zip(logs_of, asked)])
        return own.mean(), max(row.max() - value for row, value in zip(logs_of, own))

    kinds = {"genuine": [], "all_other": [], "one_other": [], "other_voice": []}
    for _ in range(TRIALS):
        asked = draw.integers(0, 10, 6)
        spoken = [log[draw.choice(by_digit[d])] for d in asked]
        kinds["genuine"].append(measured(spoken, asked))
        different = (asked + draw.integers(1, 10, 6)) % 10
        kinds["all_other"].append(measured(spoken, different))
        one = asked.copy()
        at = draw.integers(0, 6)
        one[at] = different[at]
        kinds["one_other"].append(measured(spoken, one))
        halves = spoken[:3] + [other_log[draw.choice(of_other[d])] for d in asked[3:]]
        kinds["other_voice"].append(measured(halves, asked))
    return {kind: np.array(values) for kind, values in kinds.items()}


def write(path, head):
    """The head as text: a line for the ten biases, then one for each feature's ten weights."""
    w, b = head
    lines = ["redoubt-spoken-digits 1", f"inputs {len(w)}"]
    lines += [" ".join(f"{value:.6g}" for value in row) for row in [b, *w]]
    Path(path).write_text("\n".join(lines) + "\n", "ascii")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("digits")
    parser.add_argument("models")
    parser.add_argument("out")
    parser.add_argument("--json")
    parser.add_argument("--keep", help="a file to keep features in, for trying other settings")
    asked = parser.parse_args()
    recordings = read(asked.digits)
    speakers = np.array([speaker for speaker, *_ in recordings])
    digits = np.array([digit for _, digit, *_ in recordings])
    voices = synthetic.words()
    made_digits = np.array([digit for digit, _ in voices])
    kept = Path(asked.keep) if asked.keep else None
    if kept and kept.exists():
        both = np.load(kept)
        recorded, made = both["recorded"], both["made"]
    else:
        recorded = every(asked.models, 7, [x for *_, x in recordings], ALTERED)
        made = every(asked.models, 9, [x for _, x in voices], ALTERED_SYNTHETIC)
        if kept:
            np.savez(kept, recorded=recorded, made=made)
    print(f"{len(recordings)} recordings of {len(set(speakers))} speakers, {len(voices)} synthetic words")
    report, pooled = {}, {}
    for speaker in sorted(set(speakers)):
        out = speakers == speaker
        head = train(recorded, digits, ~out, made, made_digits)
        log = logs(recorded[out, 0], head)
        right = (log.argmax(axis=1) == digits[out]).mean()
        spoiled = logs(recorded[out, 1:].reshape(-1, features.INPUTS), head).argmax(axis=1)
        spoiled = (spoiled == np.repeat(digits[out], ALTERED)).mean()
        others = logs(recorded[~out, 0], head)
        tried = trials(log, digits[out], others, digits[~out], np.random.default_rng(11))
        for kind, values in tried.items():
            pooled.setdefault(kind, []).append(values)
        report[speaker] = {"words_right": right, "words_right_altered": spoiled}
        print(f"never heard {speaker}: {right:.4f} of words right, {spoiled:.4f} of altered ones", flush=True)
    pooled = {kind: np.concatenate(values) for kind, values in pooled.items()}
    report["operating_points"] = []
    for least in [-3, -2.5, -2, -1.5, -1.25, -1, -0.8, -0.6, -0.5]:
        for most in [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8]:
            taken = {k: float(((v[:, 0] >= least) & (v[:, 1] <= most)).mean()) for k, v in pooled.items()}
            report["operating_points"].append({"score_least": least, "beaten_most": most, **taken})
    for row in report["operating_points"]:
        print(*(f"{key} {value:.4f}" for key, value in row.items()))
    write(asked.out, train(recorded, digits, np.full(len(digits), True), made, made_digits))
    if asked.json:
        Path(asked.json).write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
