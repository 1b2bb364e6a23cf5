"""Feature maps that image encoders of the SAM family pass to the mask decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from geosam.segmenters.torch_arrays import from_array, to_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from numpy.typing import NDArray
    from torch import Tensor


class ImageFeatures(NamedTuple):
    """Feature maps of B tiles of 1024 x 1024 pixels. With a smaller input, they are smaller in proportion."""

    image: Tensor
    """(B, 256, 64, 64) image embedding."""
    high_res: tuple[Tensor, ...] = ()
    """SAM 2 only: (B, 32, 256, 256) and (B, 64, 128, 128), outputs of the decoder's `conv_s0` and `conv_s1`."""
    early: tuple[Tensor, ...] = ()
    """HQ-SAM only: (B, C, 64, 64), output of the encoder's first global attention block; with TinyViT, output of its
    first stage of attention, after downsampling."""

    def to_arrays(self, row: int) -> dict[str, NDArray[Any]]:
        """Return the maps of one tile by name, converted by :func:`geosam.segmenters.torch_arrays.to_array`."""
        maps = {"image": self.image}
        maps |= {f"high_res.{number}": values for number, values in enumerate(self.high_res)}
        maps |= {f"early.{number}": values for number, values in enumerate(self.early)}
        return {name: to_array(values[row]) for name, values in maps.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], dtype: torch.dtype, device: str) -> ImageFeatures:
        """Return the maps of one tile (B = 1) from the arrays of :meth:`to_arrays`. Other arrays are ignored."""

        def read(name: str) -> Tensor:
            return from_array(arrays[name], dtype, device)[None]

        def series(name: str) -> tuple[Tensor, ...]:
            return tuple(read(key) for key in sorted(arrays) if key.startswith(f"{name}."))

        return cls(read("image"), series("high_res"), series("early"))
