"""What an image encoder of the SAM family hands to the mask decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from geosam.segmenters.torch_arrays import from_array, to_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from numpy.typing import NDArray
    from torch import Tensor


class ImageFeatures(NamedTuple):
    """Feature maps of a batch of B tiles of 1024 x 1024 pixels; sizes shrink with a smaller input."""

    image: Tensor
    """(B, 256, 64, 64) the image embedding."""
    high_res: tuple[Tensor, ...] = ()
    """SAM 2: (B, 32, 256, 256) and (B, 64, 128, 128), already reduced by the decoder's `conv_s0` and `conv_s1`."""
    early: tuple[Tensor, ...] = ()
    """HQ-SAM: (B, C, 64, 64), what the encoder's first global attention block gives; of TinyViT its first stage of
    attention, downsampling included."""

    def to_arrays(self, row: int) -> dict[str, NDArray[Any]]:
        """The maps of one tile by name, as :func:`geosam.segmenters.torch_arrays.to_array` gives them."""
        maps = {"image": self.image}
        maps |= {f"high_res.{number}": found for number, found in enumerate(self.high_res)}
        maps |= {f"early.{number}": found for number, found in enumerate(self.early)}
        return {name: to_array(found[row]) for name, found in maps.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], dtype: torch.dtype, device: str) -> ImageFeatures:
        """A batch of one tile from what :meth:`to_arrays` gave; other arrays are left alone."""

        def read(name: str) -> Tensor:
            return from_array(arrays[name], dtype, device)[None]

        def series(name: str) -> tuple[Tensor, ...]:
            return tuple(read(key) for key in sorted(arrays) if key.startswith(f"{name}."))

        return cls(read("image"), series("high_res"), series("early"))
