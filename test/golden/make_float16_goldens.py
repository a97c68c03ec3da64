"""What the reference computes in float16, and in float32 from the same inputs, for some golden checkpoints.

usage: make_float16_goldens.py OUT_DIR
Needs torch, diffusers, safetensors and pillow. OUT_DIR is the folder of the golden data; for each case it
gets OUT_DIR/CASE/float16.safetensors:
  module.NAME.float16, module.NAME.float32   one call of each module with the inputs of modules.safetensors
  run.noise                                  the latents that both pipelines were given, before scaling
  run.latents.float16, run.frames.float16    of the last step, of the whole clip; float32 likewise
Beside them OUT_DIR/schedulers/float16-steps.safetensors has single guided steps.
Inputs are rounded to float16 for both types: what is left between them is the arithmetic alone.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler, StableVideoDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file

CASES = {
    "two-level": dict(variant=None, run="plain"),
    "three-level": dict(variant="fp16", run="falling-guidance"),
}
DTYPES = {"float16": torch.float16, "float32": torch.float32}


@torch.no_grad()
def modules(pipe, inputs, dtype):
    given = {name: value.half().to(dtype) for name, value in inputs.items()}
    # The reference keeps the timestep in float32, and its VAE encodes in float32 under force_upcast.
    timestep = inputs["unet.timestep"][0]
    results = {
        "unet": pipe.unet(
            given["unet.sample"],
            timestep,
            given["unet.encoder_hidden_states"],
            given["unet.added_time_ids"],
        ).sample,
        "decoder": pipe.vae.decode(given["vae.latents"], num_frames=5).sample,
        "image_encoder": pipe.image_encoder(given["clip.pixel_values"]).image_embeds,
    }
    if pipe.vae.config.force_upcast:
        pipe.vae.to(torch.float32)
    image = given["vae.image"].to(pipe.vae.dtype)
    results["encoder"] = pipe.vae.encode(image).latent_dist.mode()
    pipe.vae.to(dtype)
    return results


def run(pipe, call, image, noise, dtype):
    arguments = {k: v for k, v in call.items() if k not in ("images", "seeds", "one_seed")}
    seed = call["seeds"][0] if "seeds" in call else call["one_seed"]
    generator = torch.Generator().manual_seed(seed)
    last = {}

    def on_step(_pipe, _step, _timestep, tensors):
        last["latents"] = tensors["latents"].clone()
        return {}

    made = pipe(
        image,
        generator=generator,
        latents=noise.to(dtype),
        output_type="np",
        callback_on_step_end=on_step,
        **arguments,
    )
    return last["latents"], torch.from_numpy(np.asarray(made.frames))


def steps():
    """One step in the middle of a schedule, as the pipeline makes it of tensors of halves.

    Not of "epsilon": it multiplies a scalar with a tensor in that order, in which torch rounds the scalar
    to float16 first on a CPU, and not on a GPU, where halves are computed with.
    """
    tensors = {}
    generator = torch.Generator().manual_seed(11)
    randn = lambda: torch.randn(1, 3, 4, 5, 6, generator=generator)
    for prediction in ("sample", "v_prediction"):
        scheduler = EulerDiscreteScheduler(
            prediction_type=prediction, timestep_type="continuous", use_karras_sigmas=True,
            sigma_min=0.002, sigma_max=700.0, timestep_spacing="leading",
        )
        scheduler.set_timesteps(6)
        for at in (0, 3, 5):
            sigma, key = scheduler.sigmas[at], f"{prediction}.{at}"
            timestep = scheduler.timesteps[at]
            latents = (randn() * sigma).half()
            uncond, cond = randn().half(), randn().half()
            scheduler._step_index = at
            scaled = scheduler.scale_model_input(latents, timestep)
            guidance = torch.linspace(1.0, 3.0, 3)[None].to(latents.dtype)[..., None, None, None]
            guided = uncond + guidance * (cond - uncond)
            after = scheduler.step(guided, timestep, latents).prev_sample
            assert scaled.dtype == guided.dtype == after.dtype == torch.float16
            tensors.update({
                f"{key}.sigmas": scheduler.sigmas[at : at + 2].clone(),
                f"{key}.latents": latents, f"{key}.uncond": uncond, f"{key}.cond": cond,
                f"{key}.scaled": scaled, f"{key}.after": after,
            })
    return tensors


def main():
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
    made = {name: value.contiguous().float() for name, value in steps().items()}
    save_file(made, root / "schedulers" / "float16-steps.safetensors")
    for name, case in CASES.items():
        folder = root / name
        inputs = load_file(folder / "modules.safetensors")
        call = json.loads((folder / "runs" / case["run"] / "call.json").read_text())
        image = Image.open(folder / "runs" / case["run"] / call["images"][0]).convert("RGB")
        tensors = {}
        for label, dtype in DTYPES.items():
            pipe = StableVideoDiffusionPipeline.from_pretrained(
                folder / "checkpoint", variant=case["variant"], torch_dtype=dtype
            )
            pipe.set_progress_bar_config(disable=True)
            for module, value in modules(pipe, inputs, dtype).items():
                tensors[f"module.{module}.{label}"] = value
            frames = call.get("num_frames") or pipe.unet.config.num_frames
            shape = (1, frames, pipe.vae.config.latent_channels)
            shape += (call["height"] // pipe.vae_scale_factor, call["width"] // pipe.vae_scale_factor)
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(7)).half()
            tensors["run.noise"] = noise.float()
            latents, pictures = run(pipe, call, image, noise, dtype)
            tensors[f"run.latents.{label}"] = latents
            tensors[f"run.frames.{label}"] = pictures
        stored = {name: value.contiguous().float() for name, value in tensors.items()}
        save_file(stored, folder / "float16.safetensors")
        for key in ("module.unet", "module.decoder", "module.encoder", "module.image_encoder", "run.frames"):
            half, full = (stored[f"{key}.{label}"] for label in DTYPES)
            print(name, key, float((half - full).abs().max()), float(full.abs().max()))


if __name__ == "__main__":
    main()
