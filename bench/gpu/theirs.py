"""diffusers' side of the GPU bench, on the first CUDA device.

usage: theirs.py STAGE CHECKPOINT DTYPE IMAGE FRAMES HEIGHT WIDTH CHUNK STEPS
Prints a line of JSON: seconds and bytes, as bench/gpu/work.ts has them. "step" is both halves in
one call, as the pipeline makes it, and "half" is one of them.
"""

import json
import os
import statistics
import sys
import time

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image

ROUNDS = 5
stage, checkpoint, dtype, image = sys.argv[1:5]
frames, height, width, chunk, steps = map(int, sys.argv[5:])
compute = {"float16": torch.float16, "float32": torch.float32}[dtype]
device = "cuda"


def timed(run):
    seconds = []
    with torch.inference_mode():
        for _ in range(ROUNDS + 1):
            torch.cuda.synchronize()
            start = time.perf_counter()
            run()
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    return {"first": seconds[0], "median": statistics.median(seconds[1:])}


pipe = StableVideoDiffusionPipeline.from_pretrained(
    checkpoint, variant="fp16", torch_dtype=compute, local_files_only=True
)
pipe.set_progress_bar_config(disable=True)
h, w = height // pipe.vae_scale_factor, width // pipe.vae_scale_factor
random = lambda *shape: torch.randn(shape, dtype=compute, device=device)
answer = {}
if stage == "unet":
    unet = pipe.unet.to(device)
    embedding = random(2, 1, pipe.image_encoder.config.projection_dim)
    ids = torch.tensor([[6.0, 127.0, 0.02]] * 2, dtype=compute, device=device)
    sample = random(2, frames, unet.config.in_channels, h, w)
    call = lambda n: unet(sample[:n], 0.5, embedding[:n], ids[:n], return_dict=False)
    answer["step"] = timed(lambda: call(2))
    answer["deviceBytes"] = torch.cuda.max_memory_reserved()
    answer["half"] = timed(lambda: call(1))
elif stage == "decode":
    vae = pipe.vae.to(device)
    latents = random(chunk, pipe.unet.config.out_channels, h, w)
    answer["decode"] = timed(lambda: vae.decode(latents, num_frames=chunk))
    answer["deviceBytes"] = torch.cuda.max_memory_reserved()
elif stage == "condition":
    encoder = pipe.image_encoder.to(device)
    answer["clip"] = timed(lambda: encoder(random(1, 3, 224, 224)))
    vae = pipe.vae.to(device=device, dtype=torch.float32)
    picture = torch.randn((1, 3, height, width), device=device)
    answer["encode"] = timed(lambda: vae.encode(picture).latent_dist.mode())
else:
    pipe.to(device)
    picture = Image.open(image).convert("RGB")
    call = lambda n: pipe(
        picture,
        height=height,
        width=width,
        num_frames=frames,
        num_inference_steps=n,
        decode_chunk_size=chunk,
        generator=torch.Generator().manual_seed(1),
        output_type="pil",
    )
    call(1)
    torch.cuda.synchronize()
    start = time.perf_counter()
    call(steps)
    answer["whole"] = time.perf_counter() - start
    answer["deviceBytes"] = torch.cuda.max_memory_reserved()
answers.write(json.dumps(answer) + "\n")
