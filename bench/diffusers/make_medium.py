"""Writes the medium checkpoint: SVD's topology, 61.8 M parameters in the UNet, random weights.

usage: make_medium.py FOLDER
"""

import sys

import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

FRAMES = 8
EMBEDDING = 256


def randomized(model, seed):
    """Weights whose layers keep the size of what goes through, so that nothing overflows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim <= 1:
                parameter.add_(0.1 * noise)
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
    return model.eval()


def main(folder):
    unet = UNetSpatioTemporalConditionModel(
        block_out_channels=(64, 128, 256, 256),
        num_attention_heads=(1, 2, 4, 4),
        cross_attention_dim=EMBEDDING,
        num_frames=FRAMES,
    )
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(64, 128, 256, 256),
        layers_per_block=2,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
    )
    clip = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=256,
            projection_dim=EMBEDDING,
            num_hidden_layers=6,
            num_attention_heads=8,
            image_size=224,
            intermediate_size=1024,
            patch_size=14,
            hidden_act="gelu",
        )
    )
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        sigma_min=0.002,
        sigma_max=700.0,
        timestep_spacing="leading",
        timestep_type="continuous",
        steps_offset=1,
        use_karras_sigmas=True,
    )
    StableVideoDiffusionPipeline(
        unet=randomized(unet, 1),
        vae=randomized(vae, 2),
        image_encoder=randomized(clip, 3),
        scheduler=scheduler,
        feature_extractor=CLIPImageProcessor(),
    ).save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])
