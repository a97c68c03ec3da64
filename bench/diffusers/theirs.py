"""diffusers' side of the comparison: does what a line of JSON asks for and answers with seconds.

A line is {"op": "open" | "unet" | "decode" | "encode" | "clip" | "render" | "memory" | "versions", ...};
the answer is a line of JSON. Everything is float32 on the CPU with the threads that "open" names.
"""

import json
import os
import sys
import time

STARTED = time.perf_counter()


def peak_bytes():
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel tells no peak of memory")


class Theirs:
    def open(self, checkpoint, threads, **size):
        import torch

        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        from diffusers import StableVideoDiffusionPipeline

        self.torch = torch
        variant = "fp16" if size.pop("fp16", False) else None
        self.pipe = StableVideoDiffusionPipeline.from_pretrained(
            checkpoint, variant=variant, torch_dtype=torch.float32, local_files_only=True
        )
        self.pipe.set_progress_bar_config(disable=True)
        self.size = size
        generator = torch.Generator().manual_seed(1)
        random = lambda *shape: torch.randn(shape, generator=generator)
        frames = size["frames"]
        factor = self.pipe.vae_scale_factor
        height, width = size["height"] // factor, size["width"] // factor
        unet = self.pipe.unet.config
        self.sample = random(1, frames, unet.in_channels, height, width)
        self.embedding = random(1, 1, self.pipe.image_encoder.config.projection_dim)
        self.time_ids = torch.tensor([[6.0, 127.0, 0.02]])
        self.latents = random(size["decodeFrames"], unet.out_channels, height, width)
        self.picture = random(1, 3, size["height"], size["width"])
        self.pixels = random(1, 3, 224, 224)
        return {}

    def timed(self, run):
        with self.torch.inference_mode():
            start = time.perf_counter()
            run()
            return {"seconds": time.perf_counter() - start}

    def unet(self):
        return self.timed(
            lambda: self.pipe.unet(
                self.sample, 0.5, self.embedding, self.time_ids, return_dict=False
            )
        )

    def decode(self):
        frames = self.size["decodeFrames"]
        return self.timed(lambda: self.pipe.vae.decode(self.latents, num_frames=frames))

    def encode(self):
        return self.timed(lambda: self.pipe.vae.encode(self.picture).latent_dist.mode())

    def clip(self):
        return self.timed(lambda: self.pipe.image_encoder(self.pixels))

    def first_step(self):
        """Both halves of one step; seconds since this process began its first line."""
        self.unet()
        self.unet()
        return {"seconds": time.perf_counter() - STARTED}

    def render(self, image, steps, seed, framesFile=None):
        """A clip; "steps_seconds" are those from the end of its first step to that of its last."""
        from PIL import Image

        torch = self.torch
        marks = []

        def on_step_end(pipe, step, timestep, values):
            marks.append(time.perf_counter())
            return values

        start = time.perf_counter()
        frames = self.pipe(
            Image.open(image).convert("RGB"),
            height=self.size["height"],
            width=self.size["width"],
            num_frames=self.size["frames"],
            num_inference_steps=steps,
            generator=torch.Generator().manual_seed(seed),
            decode_chunk_size=self.size["decodeFrames"],
            output_type="np",
            callback_on_step_end=on_step_end,
        ).frames
        seconds = time.perf_counter() - start
        if framesFile is not None:
            frames[0].astype("<f4").tofile(framesFile)
        steps_seconds = marks[-1] - marks[0]
        return {"seconds": seconds, "steps_seconds": steps_seconds, "mean": float(frames.mean())}

    def memory(self):
        return {"bytes": peak_bytes()}

    def versions(self):
        import platform

        import diffusers
        import torch

        return {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
        }


def main():
    # What a library prints must not stand between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    theirs = Theirs()
    for line in sys.stdin:
        request = json.loads(line)
        op = request.pop("op")
        answers.write(json.dumps(getattr(theirs, op)(**request)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
