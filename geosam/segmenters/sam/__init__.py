"""The SAM family as image models: SAM, MobileSAM, HQ-SAM, SAM 2 and 2.1, with one prompt encoder and one mask decoder.

From the ground up: `dense` multiplies matrices, `layers` and `attention` are shared layers, `features` are the maps of
an encoder, `neck` is SAM 2's pyramid. The encoders are `hiera`, `vit`, `tiny_vit` and `openvino_encoder`. The decoder
is `prompt_encoder`, `transformer`, `upscaling`, `hq` and `mask_decoder`; `memory` links frames; `model` holds all
parts. `identity` recognises checkpoints, `huggingface` renames their tensors, `build` makes networks. `enlarged_crops`,
`prompt_tensors` and `upsampling` convert pictures, prompts and logits for `segmenter`; `loader` loads it, `family`
registers the models.
"""
