"""More reference outputs of Hugging Face diffusers, for what test/golden/data/parts does not cover.

usage: make_more_goldens.py OUT_DIR SECTION [SECTION ...]     sections: the keys of SECTIONS below
needs: torch diffusers scipy pillow numpy safetensors
       (the numbers in data/ came from torch 2.15, diffusers 0.42.1, scipy 1.17, pillow 13)

Every section is a function that writes small files into OUT_DIR/SECTION.
"""
import contextlib
import json
import os
import sys

import numpy as np
import torch
from safetensors.torch import save_file

SVD = dict(
    beta_end=0.012, beta_schedule="scaled_linear", beta_start=0.00085, interpolation_type="linear",
    num_train_timesteps=1000, prediction_type="v_prediction", sigma_max=700.0, sigma_min=0.002,
    steps_offset=1, timestep_spacing="leading", timestep_type="continuous", use_karras_sigmas=True,
)
# what Stable Diffusion checkpoints hold: no respacing, no ends of its own
PLAIN = dict(SVD, use_karras_sigmas=False, sigma_min=None, sigma_max=None, timestep_type="discrete")
ALIGN_YOUR_STEPS_SVD = [700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.0]
TRAINED_BETAS = [round(0.0005 + 0.019 * (i / 39) ** 1.5, 6) for i in range(40)]


def write(out, name, tensors, cases):
    os.makedirs(out, exist_ok=True)
    tensors = {key: value.contiguous().float() for key, value in tensors.items()}
    save_file(tensors, os.path.join(out, f"{name}.safetensors"))
    with open(os.path.join(out, f"{name}.json"), "w") as file:
        json.dump(cases, file, indent=1)


def scheduler_cases():
    """(name, config, [steps or sigmas, ...])"""
    few = [1, 2, 7]
    respaced = dict(SVD, use_karras_sigmas=False)
    yield "karras-own-ends", dict(PLAIN, use_karras_sigmas=True), few
    yield "exponential", dict(respaced, use_exponential_sigmas=True), few
    yield "exponential-discrete", dict(PLAIN, use_exponential_sigmas=True), few
    yield "beta", dict(respaced, use_beta_sigmas=True), few
    yield "beta-discrete", dict(PLAIN, use_beta_sigmas=True), [1, 2, 25]
    yield "log-linear", dict(PLAIN, interpolation_type="log_linear"), few
    yield "log-linear-continuous", dict(PLAIN, interpolation_type="log_linear", timestep_type="continuous"), few
    yield "log-linear-karras", dict(PLAIN, interpolation_type="log_linear", use_karras_sigmas=True), few
    yield "sigma-min-final", dict(PLAIN, final_sigmas_type="sigma_min"), few
    yield "sigma-min-final-karras", dict(SVD, final_sigmas_type="sigma_min"), few
    yield "sigma-min-final-log-linear", dict(PLAIN, interpolation_type="log_linear", final_sigmas_type="sigma_min"), few
    yield "epsilon", dict(PLAIN, prediction_type="epsilon"), few
    yield "epsilon-continuous-has-no-effect", dict(PLAIN, prediction_type="epsilon", timestep_type="continuous"), few
    yield "sample", dict(PLAIN, prediction_type="sample"), few
    yield "original-sample", dict(PLAIN, prediction_type="original_sample"), few
    for spacing in ("linspace", "leading", "trailing"):
        for kind in ("discrete", "continuous"):
            yield f"{spacing}-{kind}", dict(PLAIN, timestep_spacing=spacing, timestep_type=kind), [1, 3, 30, 64]
    yield "trailing-one-step-more", dict(PLAIN, timestep_spacing="trailing", num_train_timesteps=1000), [61, 103]
    yield "trailing-one-step-more-log-linear", dict(PLAIN, timestep_spacing="trailing", interpolation_type="log_linear"), [61]
    yield "steps-offset-3", dict(PLAIN, steps_offset=3), few
    yield "steps-offset-beyond-the-end", dict(PLAIN, steps_offset=30), [1, 40]
    yield "more-steps-than-levels", dict(PLAIN, num_train_timesteps=20, timestep_spacing="linspace"), [33]
    yield "linear-betas", dict(PLAIN, beta_schedule="linear", beta_start=0.0001, beta_end=0.02), few
    yield "squaredcos", dict(PLAIN, beta_schedule="squaredcos_cap_v2"), few
    yield "squaredcos-linspace-karras", dict(PLAIN, beta_schedule="squaredcos_cap_v2", use_karras_sigmas=True, timestep_spacing="linspace"), few
    yield "squaredcos-50-levels", dict(PLAIN, beta_schedule="squaredcos_cap_v2", num_train_timesteps=50), few
    yield "trained-betas", dict(PLAIN, trained_betas=TRAINED_BETAS, num_train_timesteps=40), few
    yield "trained-betas-fewer-than-levels", dict(PLAIN, trained_betas=TRAINED_BETAS, num_train_timesteps=100), few
    yield "zero-snr", dict(PLAIN, rescale_betas_zero_snr=True, timestep_spacing="trailing"), few
    yield "zero-snr-karras", dict(SVD, rescale_betas_zero_snr=True, sigma_max=None), few
    yield "zero-snr-squaredcos", dict(PLAIN, rescale_betas_zero_snr=True, beta_schedule="squaredcos_cap_v2"), few
    yield "defaults", dict(), [1, 10]
    yield "own-sigmas", SVD, [ALIGN_YOUR_STEPS_SVD, [700.0, 80.0, 12.0, 2.0, 0.3], [5.0, 0.0]]
    yield "own-sigmas-discrete", dict(PLAIN, timestep_spacing="linspace"), [ALIGN_YOUR_STEPS_SVD, [9.5, 3.25, 0.7, 0.01, 0.001]]
    yield "own-sigmas-epsilon", dict(PLAIN, prediction_type="epsilon"), [[14.6, 7.0, 2.5, 0.5, 0.0]]
    yield "own-sigmas-rising", SVD, [[1.0, 2.0, 4.0, 3.0]]


@contextlib.contextmanager
def correctly_rounded_roots():
    """torch takes float32 roots from a vector library whose last bit depends on the processor; schedules with tiny
    betas (1 - alpha) magnify that bit a thousandfold. Here every root is the correctly rounded one."""
    power, root = torch.Tensor.__pow__, torch.Tensor.sqrt

    def exact(x):
        return root(x.double()).to(x.dtype)

    torch.Tensor.sqrt = exact
    torch.Tensor.__pow__ = lambda x, exponent: exact(x) if exponent == 0.5 else power(x, exponent)
    try:
        yield
    finally:
        torch.Tensor.sqrt, torch.Tensor.__pow__ = root, power


def stand_in(x):
    """A model anyone can write, from operations that round alike everywhere (tanh does not)."""
    return x / (1 + x.abs())


@correctly_rounded_roots()
def schedulers(out):
    """Step tables, the result of all steps, and single guided steps."""
    from diffusers import EulerDiscreteScheduler

    noise = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(5))
    tensors, cases = {"noise": noise}, []
    for name, config, requests in scheduler_cases():
        for number, request in enumerate(requests):
            scheduler = EulerDiscreteScheduler(**config)
            own = isinstance(request, list)
            scheduler.set_timesteps(sigmas=request) if own else scheduler.set_timesteps(request)
            # As pipelines that start at a chosen step do: without it, a repeated first timestep makes
            # the scheduler skip a level and fail at the end of its table.
            scheduler.set_begin_index(0)
            key = f"{name}/{number}"
            x = noise * scheduler.init_noise_sigma
            for timestep in scheduler.timesteps:
                output = stand_in(scheduler.scale_model_input(x, timestep))
                x = scheduler.step(output, timestep, x).prev_sample
            tensors[f"{key}/sigmas"] = scheduler.sigmas
            tensors[f"{key}/timesteps"] = scheduler.timesteps
            tensors[f"{key}/x_end"] = x
            cases.append(dict(
                key=key, config=config, init_noise_sigma=float(scheduler.init_noise_sigma),
                **({"sigmas": request} if own else {"num_inference_steps": request}),
            ))
    write(out, "schedules", tensors, cases)
    write(out, "steps", *guided_steps())


def guided_steps():
    """One step of every prediction type, with and without per-frame guidance; bit for bit."""
    from diffusers import EulerDiscreteScheduler

    tensors, cases = {}, []
    for prediction_type in ("epsilon", "sample", "v_prediction"):
        for number, sigmas in enumerate(([700.0, 213.7], [1.25, 0.31], [0.034, 0.0])):
            g = torch.Generator().manual_seed(number)
            frames = 5
            uncond, cond, latents = (torch.randn(1, frames, 4, 3, 5, generator=g) for _ in range(3))
            latents = latents * (sigmas[0] ** 2 + 1) ** 0.5
            guidance = torch.linspace(1.0, 3.0, frames)
            guided = uncond + guidance[None, :, None, None, None] * (cond - uncond)
            scheduler = EulerDiscreteScheduler(**dict(SVD, prediction_type=prediction_type))
            key = f"{prediction_type}/{number}"
            for name, output in (("guided", guided), ("unguided", cond)):
                scheduler.set_timesteps(sigmas=sigmas)
                tensors[f"{key}/scaled"] = scheduler.scale_model_input(latents, scheduler.timesteps[0])
                tensors[f"{key}/{name}"] = scheduler.step(output, scheduler.timesteps[0], latents).prev_sample
            tensors.update({f"{key}/uncond": uncond, f"{key}/cond": cond, f"{key}/latents": latents})
            cases.append(dict(key=key, prediction_type=prediction_type, sigmas=sigmas, frames=frames))
    for low, high, frames in [(1.0, 3.0, 14), (1.0, 3.0, 25), (3.0, 1.5, 25), (0.1, 2.7, 1), (0.1, 2.7, 2), (1.3, 7.7, 31), (2.0, 2.0, 7)]:
        key = f"ramp/{low}/{high}/{frames}"
        tensors[key] = torch.linspace(low, high, frames)
    return tensors, cases


def patterned(width, height):
    """A picture anyone can make again: hard edges, gradients, and every byte value."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return ((x * 7 + y * 13 + c * 29) ^ (x * y)).astype(np.uint8)


def pictures(out):
    """Picture preparation at odd sizes; sources are `patterned(width, height)`."""
    from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import _resize_with_antialiasing
    from PIL import Image

    tensors, cases = {}, []
    for w, h, to_w, to_h in [(1, 1, 8, 8), (5, 3, 16, 8), (61, 47, 8, 16), (40, 24, 40, 8), (40, 24, 16, 24),
                             (200, 9, 24, 24), (3, 150, 16, 8), (37, 41, 40, 40), (2, 2, 8, 24),
                             # on either side of where pillow 13 changes the order of its passes
                             (20, 30, 12, 14), (20, 30, 12, 13), (20, 30, 24, 32), (20, 30, 24, 29)]:
        key = f"lanczos/{w}x{h}-{to_w}x{to_h}"
        resized = Image.fromarray(patterned(w, h)).resize((to_w, to_h), Image.Resampling.LANCZOS)
        tensors[key] = torch.from_numpy(np.asarray(resized).astype(np.float32))
        cases.append(dict(key=key, kind="lanczos", width=w, height=h, to_width=to_w, to_height=to_h))
    for w, h, to_w, to_h in [(2, 2, 16, 16), (16, 16, 16, 16), (300, 3, 16, 16), (7, 1200, 16, 24), (45, 33, 24, 16),
                             (33, 100, 16, 16)]:
        key = f"antialias/{w}x{h}-{to_w}x{to_h}"
        image = torch.from_numpy(patterned(w, h).astype(np.float32) / 255.0).permute(2, 0, 1)[None] * 2.0 - 1.0
        tensors[key] = _resize_with_antialiasing(image, (to_h, to_w))[0]
        cases.append(dict(key=key, kind="antialias", width=w, height=h, to_width=to_w, to_height=to_h))
    write(out, "pictures", tensors, cases)


SECTIONS = {"schedulers": schedulers, "pictures": pictures}

if __name__ == "__main__":
    torch.set_num_threads(1)
    root, names = sys.argv[1], sys.argv[2:]
    for section in names:
        SECTIONS[section](os.path.join(root, section))
        print(section)
