"""Pictures → tensors, as the card says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rtmpose_sdk import ModelCard, Predictor
from rtmpose_sdk.errors import CardError
from rtmpose_sdk.normalize import Normalizer


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_the_formula_written_out(photo: np.ndarray, order: str) -> None:
    base: ModelCard = Predictor("rtmpose-t-own").card
    card = dataclasses.replace(
        base, input_layout="nchw", input_dtype="float32", color_order=order, mean=(1.5, 20, 130)
    )
    images = np.stack([photo, photo[::-1]])
    tensor = Normalizer(card)(images)
    source = images[..., ::-1] if order == "rgb" else images
    want = (source.astype(np.float64) - card.mean) / card.std
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor, want.transpose(0, 3, 1, 2), atol=1e-5)


def test_pictures_pass_untouched_where_the_graph_normalises(photo: np.ndarray) -> None:
    images = photo[None]
    assert Normalizer(Predictor("rtmpose-t-own").card)(images) is images


def test_levels_of_0_to_1_are_refused(photo: np.ndarray) -> None:
    """As torchvision and many configs write them: keypoints would be nonsense, without an error."""
    card = dataclasses.replace(
        Predictor("rtmpose-t-own").card,
        input_layout="nchw",
        input_dtype="float32",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    with pytest.raises(CardError, match=r"0\.\.\.255, which would be \(123\.675, 116\.28, 103\.53\) and"):
        Normalizer(card)
