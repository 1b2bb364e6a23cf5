"""The authors' networks with random weights, which stand in for checkpoints that nobody can redistribute."""

import torch
import torchvision_shim  # noqa: F401 - makes the references importable
from random_weights import randomise
from sam2.build_sam import build_sam2
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything_hq.modeling.tiny_vit_sam import TinyViT


def mobile_sam_parts(size=1024):
    """MobileSAM's image encoder, prompt encoder and mask decoder for pictures of `size` pixels, as they are born."""
    encoder = TinyViT(
        img_size=size,
        in_chans=3,
        num_classes=1000,
        embed_dims=[64, 128, 160, 320],
        depths=[2, 2, 6, 2],
        num_heads=[2, 4, 5, 10],
        window_sizes=[7, 7, 14, 7],
    )
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    decoder = MaskDecoder(
        num_multimask_outputs=3, transformer=transformer, transformer_dim=256, iou_head_depth=3, iou_head_hidden_dim=256
    )
    prompts = PromptEncoder(
        embed_dim=256, image_embedding_size=(size // 16,) * 2, input_image_size=(size,) * 2, mask_in_chans=16
    )
    return encoder, prompts, decoder


def mobile_sam(seed=3):
    """MobileSAM: SAM's prompt encoder and mask decoder behind a TinyViT."""
    encoder, prompts, decoder = mobile_sam_parts()
    forward = encoder.forward
    encoder.forward = lambda pictures: forward(pictures)[0]  # the second value is for HQ-SAM
    sam = Sam(encoder, prompts, decoder, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    return contrasting(randomise(sam, seed))


def sam2_tiny(version="2.1", seed=1):
    """SAM 2 or 2.1, tiny."""
    folder, name = {"2.1": ("sam2.1", "sam2.1_hiera_t"), "2.0": ("sam2", "sam2_hiera_t")}[version]
    return contrasting(randomise(build_sam2(f"configs/{folder}/{name}.yaml", None, device="cpu"), seed))


def contrasting(model, factor=30):
    """Raise the logits of random weights from a few tenths to where trained ones lie, so that masks can be stable."""
    decoder = getattr(model, "mask_decoder", None) or model.sam_mask_decoder
    for mlp in decoder.output_hypernetworks_mlps:
        mlp.layers[-1].weight.mul_(factor)
        mlp.layers[-1].bias.mul_(factor)
    return model


def save(model, path, wrapper=None):
    """Write a checkpoint as the authors do."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save(state if wrapper is None else {wrapper: state}, path)
    return path
