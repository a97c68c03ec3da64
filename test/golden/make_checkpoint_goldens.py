"""Tiny checkpoints that use every field of the configurations, with the reference's outputs.

usage: make_checkpoint_goldens.py OUT_DIR [CASE ...]
Needs torch, diffusers, transformers, safetensors and pillow; case.json records their versions.

Each case becomes OUT_DIR/CASE:
  checkpoint/            a diffusers folder, in the storage format that the case names
  modules.safetensors    one call of each module, inputs and outputs
  runs/NAME/             call.json, input0.png, expected.safetensors: one call of the pipeline
The models are read back from the folder and computed in float32, so that the numbers are those of the
weights as stored.
"""

import json
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

PLAIN_DOWN, CROSS_DOWN = "DownBlockSpatioTemporal", "CrossAttnDownBlockSpatioTemporal"
PLAIN_UP, CROSS_UP = "UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"

CASES = {
    # Two levels that differ in every field; what a level without attention says must not matter.
    "every-field": dict(
        seed=31,
        dtype=torch.bfloat16,
        save=dict(max_shard_size="600KB"),
        unet=dict(
            sample_size=None,
            in_channels=12,
            out_channels=6,
            down_block_types=(PLAIN_DOWN, CROSS_DOWN),
            up_block_types=(CROSS_UP, PLAIN_UP),
            block_out_channels=(64, 32),
            addition_time_embed_dim=31,
            projection_class_embeddings_input_dim=93,
            layers_per_block=(1, 2),
            cross_attention_dim=(8, 48),
            transformer_layers_per_block=(3, (2, 1, 1)),
            num_attention_heads=(7, 4),
            num_frames=9,
        ),
        vae=dict(
            in_channels=3,
            out_channels=3,
            down_block_types=("DownEncoderBlock2D",),
            block_out_channels=(32,),
            layers_per_block=1,
            latent_channels=6,
            sample_size=24,
            scaling_factor=0.5,
            force_upcast=False,
        ),
        clip=dict(
            hidden_size=32,
            intermediate_size=37,
            projection_dim=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=224,
            patch_size=30,  # seven patches and a rest of 14 pixels that nobody reads
            hidden_act="quick_gelu",
            layer_norm_eps=1e-3,
        ),
        scheduler=dict(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="epsilon",
            timestep_type="discrete",
            timestep_spacing="trailing",
        ),
        image_processor=dict(
            crop_size=224, size=224, image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.25, 0.3]
        ),
        unet_shape=(3, 5, 7),  # neither side a multiple of two
        runs={
            "plain": dict(
                seeds=[31], height=24, width=40, num_frames=3, num_inference_steps=2, decode_chunk_size=2
            ),
        },
    ),
    # Three levels, attention on some of them only, and another choice below than above.
    "three-level": dict(
        seed=32,
        dtype=torch.float16,
        save=dict(variant="fp16", max_shard_size="500KB"),
        unet=dict(
            sample_size=16,
            down_block_types=(CROSS_DOWN, CROSS_DOWN, PLAIN_DOWN),
            up_block_types=(CROSS_UP, PLAIN_UP, PLAIN_UP),
            block_out_channels=(32, 32, 32),
            addition_time_embed_dim=32,
            projection_class_embeddings_input_dim=96,
            layers_per_block=1,
            cross_attention_dim=16,
            transformer_layers_per_block=1,
            num_attention_heads=(1, 2, 8),
            num_frames=5,
        ),
        vae=dict(
            block_out_channels=(32, 32, 32),
            down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D", "DownEncoderBlock2D"),
            layers_per_block=1,
            latent_channels=4,
            sample_size=64,
        ),
        clip=dict(
            hidden_size=16,
            intermediate_size=24,
            projection_dim=16,
            num_hidden_layers=1,
            num_attention_heads=4,
            image_size=224,
            patch_size=28,
            hidden_act="gelu",
        ),
        scheduler=dict(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            timestep_type="continuous",
            timestep_spacing="leading",
            steps_offset=1,
            use_exponential_sigmas=True,
            sigma_min=0.02,
            sigma_max=80.0,
            final_sigmas_type="sigma_min",
        ),
        image_processor=dict(crop_size=224, size=224),
        unet_shape=(2, 6, 9),
        runs={
            # Latents of 6x10 and 10x6: no multiples of four.
            "falling-guidance": dict(
                seeds=[5],
                height=24,
                width=40,
                num_frames=5,
                num_inference_steps=4,
                min_guidance_scale=3.0,
                max_guidance_scale=1.5,
                decode_chunk_size=3,
                fps=24,
            ),
            # The reference noises the one picture with the first generator alone.
            "two-videos": dict(
                seeds=[6, 7],
                num_videos_per_prompt=2,
                height=40,
                width=24,
                num_frames=2,
                num_inference_steps=2,
                decode_chunk_size=2,
                motion_bucket_id=255,
                noise_aug_strength=0.05,
            ),
        },
    ),
}


def fill_with_noise(model, seed):
    """Random weights of a size that keeps activations near one; biases and norms move off 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "mix_factor" in name:
                parameter.copy_(noise)
            elif parameter.ndim < 2:
                parameter.add_(0.1 * noise)
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
    return model.eval()


def write_checkpoint(case, folder):
    seed = case["seed"]
    unet = fill_with_noise(UNetSpatioTemporalConditionModel(**case["unet"]), seed)
    vae = fill_with_noise(AutoencoderKLTemporalDecoder(**case["vae"]), seed + 100)
    clip = CLIPVisionModelWithProjection(CLIPVisionConfig(**case["clip"]))
    clip = fill_with_noise(clip, seed + 200)
    StableVideoDiffusionPipeline(
        unet=unet.to(case["dtype"]),
        vae=vae.to(case["dtype"]),
        image_encoder=clip.to(case["dtype"]),
        scheduler=EulerDiscreteScheduler(**case["scheduler"]),
        feature_extractor=CLIPImageProcessor(**case["image_processor"]),
    ).save_pretrained(folder, safe_serialization=True, **case["save"])


def read_checkpoint(case, folder):
    pipe = StableVideoDiffusionPipeline.from_pretrained(
        folder, variant=case["save"].get("variant"), torch_dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def write_tensors(tensors, path):
    save_file({name: value.contiguous().float() for name, value in tensors.items()}, path)
    return {name: list(value.shape) for name, value in tensors.items()}


@torch.no_grad()
def write_modules(pipe, case, path):
    generator = torch.Generator().manual_seed(case["seed"] + 300)

    def randn(*shape):
        return torch.randn(*shape, generator=generator)

    frames, height, width = case["unet_shape"]
    scale, channels = pipe.vae_scale_factor, pipe.vae.config.latent_channels
    t = {
        "unet.sample": randn(2, frames, pipe.unet.config.in_channels, height, width),
        "unet.timestep": torch.tensor([1.2345]),
        "unet.encoder_hidden_states": randn(2, 1, pipe.image_encoder.config.projection_dim),
        "unet.added_time_ids": torch.tensor([[6.0, 127.0, 0.02], [11.0, 40.0, 0.1]]),
        "vae.image": randn(1, 3, 6 * scale, 8 * scale).clamp(-1, 1),
        "vae.latents": randn(5, channels, 6, 8),
        "clip.pixel_values": randn(1, 3, 224, 224),
    }
    t["unet.out"] = pipe.unet(
        t["unet.sample"],
        t["unet.timestep"][0],
        t["unet.encoder_hidden_states"],
        t["unet.added_time_ids"],
    ).sample
    t["vae.mode"] = pipe.vae.encode(t["vae.image"]).latent_dist.mode()
    t["vae.decoded_chunk5"] = pipe.vae.decode(t["vae.latents"], num_frames=5).sample
    t["vae.decoded_chunk1"] = pipe.vae.decode(t["vae.latents"][:1], num_frames=1).sample
    t["clip.image_embeds"] = pipe.image_encoder(t["clip.pixel_values"]).image_embeds
    return write_tensors(t, path)


def recorded(into, name, function, argument=None):
    """The function, which also notes its result, and its first argument when that has a name."""

    def call(*args, **kwargs):
        if argument is not None:
            into[argument] = args[0].clone() if args else kwargs["image"].clone()
        result = function(*args, **kwargs)
        into[name] = result.clone()
        return result

    return call


def write_run(pipe, folder, call, seed):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.RandomState(seed)
    # Coarse noise enlarged: edges and colours, and a small file.
    blocks = Image.fromarray(rng.randint(0, 256, (9, 12, 3), dtype=np.uint8))
    blocks.resize((96, 72), Image.Resampling.BILINEAR).save(folder / "input0.png")
    image = Image.open(folder / "input0.png").convert("RGB")

    t = {}
    pipe._encode_image = recorded(t, "image_embeddings", type(pipe)._encode_image.__get__(pipe))
    encode_vae = type(pipe)._encode_vae_image.__get__(pipe)
    pipe._encode_vae_image = recorded(t, "image_latents", encode_vae, "noised_image")
    pipe.prepare_latents = recorded(t, "initial_latents", type(pipe).prepare_latents.__get__(pipe))

    def on_step(_pipe, step, timestep, tensors):
        t[f"timestep_{step}"] = torch.as_tensor(timestep).reshape(1)
        t[f"latents_after_step_{step}"] = tensors["latents"].clone()
        return {}

    arguments = {key: value for key, value in call.items() if key != "seeds"}
    generators = [torch.Generator().manual_seed(s) for s in call["seeds"]]
    t["frames"] = torch.from_numpy(
        pipe(
            image,
            generator=generators if len(generators) > 1 else generators[0],
            output_type="np",
            callback_on_step_end=on_step,
            **arguments,
        ).frames
    )
    t["sigmas"], t["timesteps"] = pipe.scheduler.sigmas.clone(), pipe.scheduler.timesteps.clone()
    shapes = write_tensors(t, folder / "expected.safetensors")
    text = json.dumps({**arguments, "images": ["input0.png"], "seeds": call["seeds"]}, indent=1)
    (folder / "call.json").write_text(text)
    return shapes


def main():
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
    for name in sys.argv[2:] or CASES:
        case, folder = CASES[name], root / name
        write_checkpoint(case, folder / "checkpoint")
        pipe = read_checkpoint(case, folder / "checkpoint")
        info = {module.__name__: module.__version__ for module in (torch, diffusers, transformers)}
        info["modules"] = write_modules(pipe, case, folder / "modules.safetensors")
        info["runs"] = {
            run: write_run(pipe, folder / "runs" / run, call, case["seed"] + at)
            for at, (run, call) in enumerate(case["runs"].items())
        }
        (folder / "case.json").write_text(json.dumps(info, indent=1))


if __name__ == "__main__":
    main()
