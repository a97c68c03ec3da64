"""diffusers' side of the full size: one clip in float32 on the CPU.

usage: theirs.py CHECKPOINT IMAGE OUT THREADS FRAMES HEIGHT WIDTH STEPS SEED
Writes the frames [F, H, W, 3] as raw float32 and prints a line of JSON.
"""

import json
import os
import sys
import time

started = time.perf_counter()
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import numpy
import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image

checkpoint, image, out = sys.argv[1:4]
threads, frames, height, width, steps, seed = map(int, sys.argv[4:])
torch.set_num_threads(threads)
pipe = StableVideoDiffusionPipeline.from_pretrained(
    checkpoint, variant="fp16", torch_dtype=torch.float32, local_files_only=True
)
pipe.set_progress_bar_config(disable=True)
opened = time.perf_counter() - started
made = pipe(
    Image.open(image).convert("RGB"),
    height=height,
    width=width,
    num_frames=frames,
    num_inference_steps=steps,
    decode_chunk_size=frames,
    generator=torch.Generator().manual_seed(seed),
    output_type="np",
).frames[0]
numpy.ascontiguousarray(made, dtype=numpy.float32).tofile(out)
with open("/proc/self/status", encoding="ascii") as status:
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
seconds = time.perf_counter() - started
answers.write(json.dumps({"opened": opened, "seconds": seconds, "peakBytes": peak}) + "\n")
