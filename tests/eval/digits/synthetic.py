"""Digits as the synthesiser eSpeak NG (PyPI espeakng-loader) says them, in 61 voices of 4 accents."""

import ctypes
import os

import espeakng_loader
import numpy as np
from scipy.signal import resample_poly

WORDS = "zero one two three four five six seven eight nine".split()
ACCENTS = ["en-us", "en-gb-scotland", "en-gb-x-gbclan", "en-029"]
VOICES = (
    "m1 m2 m3 m4 m5 m6 m7 f1 f2 f3 f4 f5 adam Andy Annie anikaRobot belinda benjamin boris caleb "
    "croak david Denis Diogo edward edward2 Gene Gene2 grandma grandpa iven iven2 iven3 john "
    "kaukovalta klatt klatt2 klatt3 klatt4 klatt5 Lee linda marcelo Mario max Michael miguel "
    "norbert pablo paul pedro quincy rob robert sandro shelby steph Storm Tweaky victor zac"
).split()
RATE, PITCH, RANGE = 1, 3, 4  # eSpeak's espeak_PARAMETER


def words():
    """(digit, samples at 8 kHz) of every voice in every accent, at tempos and pitches drawn."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path()
    rate = library.espeak_Initialize(1, 0, os.fsencode(data), 0)
    if rate != 22050:
        raise SystemExit(f"eSpeak NG did not start: {rate}")
    parts = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples, count, _):
        if samples and count > 0:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(take)
    draw, found = np.random.default_rng(3), []
    for voice in VOICES:
        for accent in ACCENTS:
            if library.espeak_SetVoiceByName(f"{accent}+{voice}".encode()):
                continue
            for digit, word in enumerate(WORDS):
                parts.clear()
                for what, low, high in [(RATE, 110, 190), (PITCH, 25, 75), (RANGE, 20, 80)]:
                    library.espeak_SetParameter(what, int(draw.integers(low, high)), 0)
                text = word.encode() + b"\0"
                library.espeak_Synth(text, len(text), 0, 0, 0, 1, None, None)
                library.espeak_Synchronize()
                samples = np.concatenate(parts) / 32768
                loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
                samples = samples[loud[0] : loud[-1] + 1]
                found.append((digit, resample_poly(samples, 160, 441)))
    return found
