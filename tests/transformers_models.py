"""Models of Hugging Face Transformers with small sizes and random weights."""

import re
import warnings

import torch
import torchvision_shim  # noqa: F401 - lets Transformers import beside a CPU build of torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers

SIZE = 256
GRID = SIZE // 16
#: Differences of the sizes in Transformers. The defaults are ViT-B and Hiera-T.
VIT_SIZES = {
    "vit_b": {},
    "vit_l": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "global_attn_indexes": [5, 11, 17, 23],
    },
    "vit_h": {
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "global_attn_indexes": [7, 15, 23, 31],
    },
}
HIERA_SIZES = {
    "t": {},
    "s": {"blocks_per_stage": [1, 2, 11, 2]},
    "b+": {
        "hidden_size": 112,
        "embed_dim_per_stage": [112, 224, 448, 896],
        "blocks_per_stage": [2, 3, 16, 3],
        "window_positional_embedding_background_size": [14, 14],
    },
    "l": {
        "hidden_size": 144,
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "blocks_per_stage": [2, 6, 36, 4],
        "window_size_per_stage": [8, 4, 16, 8],
    },
}


def vit_config(kind, image_size=1024, **vision):
    config_class = {"sam": transformers.SamConfig, "hq": transformers.SamHQConfig}[kind]
    return config_class(
        vision_config={"image_size": image_size, **vision},
        prompt_encoder_config={"image_size": image_size},
        mask_decoder_config={"vit_dim": vision.get("hidden_size", 768)} if kind == "hq" else {},
    )


def hiera_config(config_class, backbone, pixels=1024, **options):
    config = transformers.Sam2HieraDetConfig(image_size=[pixels, pixels], **backbone)
    vision = transformers.Sam2VisionConfig(
        backbone_config=config,
        backbone_channel_list=config.embed_dim_per_stage[::-1],
        backbone_feature_sizes=[[pixels // stride] * 2 for stride in (4, 8, 16)],
    )
    return config_class(vision_config=vision, prompt_encoder_config={"image_size": pixels}, **options)


#: Standard deviations of random weights. Each weight must show in the answer, and rounding must not.
SCALES = {
    r"rel_pos|no_mask|bias$": 0.3,
    r"[qk]_proj\.weight|qkv\.weight": 0.1,
    r"embed\.(\d\.)?weight|point_embed|token\.weight|tokens\.weight": 1.0,
}


def randomised(model):
    """Draw every tensor of the model anew, including tables that start as zeros and single embeddings."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        scale = next((scale for words, scale in SCALES.items() if re.search(words, name)), 0.03)
        tensor.copy_(1 + 0.2 * noise if "norm" in name and name.endswith("weight") else noise * scale)
    for twin in ("shared_image_embedding", "prompt_encoder.shared_embedding"):
        model.get_submodule(twin).positional_embedding.copy_(torch.randn(2, 128, generator=generator.manual_seed(8)))
    return model.eval()


SMALL_HIERA = {
    "hidden_size": 32,
    "embed_dim_per_stage": [32, 64, 128, 256],
    "blocks_per_stage": [1, 2, 3, 2],
    "global_attention_blocks": [4],
}


def video_model():
    """A small Sam2VideoModel."""
    config = hiera_config(
        transformers.Sam2VideoConfig,
        SMALL_HIERA,
        SIZE,
        image_size=SIZE,
        memory_attention_num_layers=2,
        memory_attention_rope_feat_sizes=[GRID, GRID],
    )
    with torch.inference_mode():
        return randomised(transformers.Sam2VideoModel(config))


def image_model(video):
    """The Sam2Model that Transformers makes of a Sam2VideoModel."""
    single = {"dynamic_multimask_via_stability": False}
    config = hiera_config(transformers.Sam2Config, SMALL_HIERA, SIZE, mask_decoder_config=single)
    with torch.inference_mode():
        model = transformers.Sam2Model(config)
        model.load_state_dict({name: video.state_dict()[name] for name in model.state_dict()}, strict=True)
        return model.eval()
